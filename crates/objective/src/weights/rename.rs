//! Names of tensors for others: `net.0=fc1`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Weights;
use crate::{Error, Result};

/// A rule that renames tensors: `FROM=TO`. FROM is the beginning of a name, in whole dotted parts; `*` stands for any one
/// part. What it matches becomes TO, where each `*` stands for the text of the same `*` of FROM. TO may be empty.
///
/// ```
/// use basin_objective::weights::Rename;
///
/// let rule: Rename = "net.0=fc1".parse()?;
/// assert_eq!(rule.apply("net.0.weight").as_deref(), Some("fc1.weight"));
/// assert_eq!(rule.apply("net.01.weight"), None);
/// let rule: Rename = "net.*.weight=fc*.weight".parse()?;
/// assert_eq!(rule.apply("net.3.weight").as_deref(), Some("fc3.weight"));
/// let rule: Rename = "encoder=".parse()?;
/// assert_eq!(rule.apply("encoder.fc1.bias").as_deref(), Some("fc1.bias"));
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rename {
    from: String,
    to: String,
}

impl FromStr for Rename {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let hint = "write FROM=TO, such as `net.0=fc1` or `net.*.weight=fc*.weight`";
        let Some((from, to)) = text.split_once('=').filter(|(from, to)| !from.is_empty() && !to.contains('=')) else {
            return Err(Error::input(format!("`{text}` is no rule to rename tensors"), hint));
        };
        if from.split('.').any(|part| part.is_empty() || (part.contains('*') && part != "*")) {
            return Err(Error::input(format!("in `{text}`, `*` must stand for a whole part between dots"), hint));
        }
        if to.matches('*').count() > from.matches('*').count() {
            return Err(Error::input(format!("`{text}` has more `*` behind the `=` than before it"), hint));
        }
        Ok(Self { from: from.to_owned(), to: to.to_owned() })
    }
}

impl TryFrom<String> for Rename {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Rename> for String {
    fn from(rule: Rename) -> Self {
        rule.to_string()
    }
}

impl fmt::Display for Rename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.from, self.to)
    }
}

impl Rename {
    /// The new name; `None` where the rule does not match.
    pub fn apply(&self, name: &str) -> Option<String> {
        let mut parts = name.split('.');
        let mut any = Vec::new();
        for from in self.from.split('.') {
            let part = parts.next()?;
            match from {
                "*" => any.push(part),
                _ if from == part => {}
                _ => return None,
            }
        }
        let mut any = any.into_iter();
        let mut renamed = String::new();
        for char in self.to.chars() {
            match char {
                '*' => renamed.push_str(any.next().unwrap_or_default()),
                _ => renamed.push(char),
            }
        }
        for part in parts {
            if !renamed.is_empty() {
                renamed.push('.');
            }
            renamed.push_str(part);
        }
        Some(renamed)
    }
}

fn renamed(name: &str, rules: &[Rename]) -> String {
    rules.iter().find_map(|rule| rule.apply(name)).unwrap_or_else(|| name.to_owned())
}

impl Weights {
    /// The same weights under other names: of the rules, the first that matches a name renames it.
    ///
    /// # Errors
    /// When a rule matches no name, or two tensors would have one name.
    pub fn renamed(self, rules: &[Rename]) -> Result<Self> {
        let names = || self.tensors.keys().chain(self.skipped.keys());
        if let Some(idle) = rules.iter().find(|rule| names().all(|name| rule.apply(name).is_none())) {
            return Err(Error::input(
                format!("`--rename {idle}` matches no tensor in `{}`", self.path.display()),
                "`basin inspect` lists the names in the file",
            ));
        }
        let mut new = BTreeSet::new();
        if let Some(twice) = names().map(|name| renamed(name, rules)).find(|name| !new.insert(name.clone())) {
            return Err(Error::input(
                format!("after `--rename`, two tensors of `{}` have the name `{twice}`", self.path.display()),
                "give each tensor a name of its own",
            ));
        }
        Ok(Self {
            tensors: self.tensors.into_iter().map(|(name, tensor)| (renamed(&name, rules), tensor)).collect(),
            skipped: self.skipped.into_iter().map(|(name, dtype)| (renamed(&name, rules), dtype)).collect(),
            order: self.order.iter().map(|name| renamed(name, rules)).collect(),
            ..self
        })
    }

    /// Rules that give the tensors the names of `wanted`, where the shapes of both agree one to one in order. That is no
    /// proof that the tensors mean the same, so it is a proposal and never taken by itself. `None` where the shapes differ, or
    /// the names are right as they are.
    pub fn proposed_renames(&self, wanted: &[(String, Vec<usize>)]) -> Option<Vec<Rename>> {
        let own: Vec<&String> = self.order.iter().filter(|name| !name.ends_with("num_batches_tracked")).collect();
        let fits = |(name, (_, shape)): (&&String, &(String, Vec<usize>))| {
            self.tensors.get(*name).is_some_and(|tensor| tensor.dims() == shape)
        };
        if own.len() != wanted.len() || !own.iter().zip(wanted).all(fits) {
            return None;
        }
        let pairs: Vec<(&str, &str)> =
            own.iter().zip(wanted).map(|(own, (to, _))| (own.as_str(), to.as_str())).collect();
        if pairs.iter().all(|(from, to)| from == to) {
            return None;
        }
        let right = |rules: &Vec<Rename>| pairs.iter().all(|(from, to)| renamed(from, rules) == *to);
        let rules = |shortened: fn(&str, &str) -> (String, String)| {
            let mut rules = Vec::<Rename>::new();
            for (from, to) in pairs.iter().filter(|(from, to)| from != to) {
                let (from, to) = shortened(from, to);
                let rule = Rename { from, to };
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
            rules
        };
        [without_shared_end, without_leaf, whole].into_iter().map(rules).find(right)
    }
}

/// `a.0.weight` and `b.0.weight` differ in `a` and `b`.
fn without_shared_end(from: &str, to: &str) -> (String, String) {
    let (mut from, mut to): (Vec<&str>, Vec<&str>) = (from.split('.').collect(), to.split('.').collect());
    while from.len() > 1 && from.last() == to.last() {
        from.pop();
        to.pop();
    }
    (from.join("."), to.join("."))
}

/// The modules of two tensors whose own names agree.
fn without_leaf(from: &str, to: &str) -> (String, String) {
    match (from.rsplit_once('.'), to.rsplit_once('.')) {
        (Some((from, a)), Some((to, b))) if a == b => (from.to_owned(), to.to_owned()),
        _ => whole(from, to),
    }
}

fn whole(from: &str, to: &str) -> (String, String) {
    (from.to_owned(), to.to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should say where")]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Tensor};
    use std::path::Path;

    fn weights(names: &[(&str, &[usize])]) -> Weights {
        let mut weights = Weights::empty(Path::new("net.pt"));
        for (name, shape) in names {
            weights.order.push((*name).to_owned());
            weights.tensors.insert((*name).to_owned(), Tensor::zeros(*shape, DType::F32, &Device::Cpu).unwrap());
        }
        weights
    }

    fn rules(rules: &[&str]) -> Vec<Rename> {
        rules.iter().map(|rule| rule.parse().unwrap()).collect()
    }

    #[test]
    fn the_first_rule_that_matches_renames() {
        let weights = weights(&[("net.0.weight", &[1]), ("net.1.weight", &[1]), ("out.weight", &[1])]);
        let renamed = weights.renamed(&rules(&["net.0=first", "net.*=fc*"])).unwrap();
        assert_eq!(renamed.order, ["first.weight", "fc1.weight", "out.weight"]);
        assert_eq!(renamed.tensors.keys().collect::<Vec<_>>(), ["fc1.weight", "first.weight", "out.weight"]);
    }

    #[test]
    fn rules_that_cannot_be_meant_are_refused() {
        for rule in ["net", "=a", "a=b=c", "a.b*=c", "a=b*", "a..b=c"] {
            assert!(rule.parse::<Rename>().is_err(), "{rule}");
        }
        let two = weights(&[("a.weight", &[1]), ("b.weight", &[1])]);
        let error = two.clone().renamed(&rules(&["c=d"])).unwrap_err();
        assert!(error.to_string().contains("`--rename c=d` matches no tensor in `net.pt`"), "{error}");
        let error = two.renamed(&rules(&["a=b"])).unwrap_err();
        assert!(error.to_string().contains("two tensors of `net.pt` have the name `b.weight`"), "{error}");
    }

    #[test]
    fn shapes_in_order_propose_short_rules() {
        let wanted = [("fc1.weight", vec![3, 2]), ("fc1.bias", vec![3]), ("fc2.weight", vec![1, 3])];
        let wanted = wanted.map(|(name, shape)| (name.to_owned(), shape));
        let proposed = |names: &[(&str, &[usize])]| {
            let rules = weights(names).proposed_renames(&wanted)?;
            Some(rules.iter().map(Rename::to_string).collect::<Vec<_>>())
        };
        let named = |[a, b, c]: [&str; 3]| proposed(&[(a, &[3, 2]), (b, &[3]), (c, &[1, 3])]);
        assert_eq!(named(["net.0.weight", "net.0.bias", "net.2.weight"]).unwrap(), ["net.0=fc1", "net.2=fc2"]);
        assert_eq!(named(["e.fc1.weight", "e.fc1.bias", "e.fc2.weight"]).unwrap(), ["e="]);
        assert_eq!(named(["w", "b", "v"]).unwrap(), ["w=fc1.weight", "b=fc1.bias", "v=fc2.weight"]);
        // Where layers only change places.
        assert_eq!(named(["fc2.weight", "fc2.bias", "fc1.weight"]).unwrap(), ["fc2=fc1", "fc1=fc2"]);
        assert_eq!(named(["fc1.weight", "fc1.bias", "fc2.weight"]), None);
        assert_eq!(proposed(&[("w", &[3, 2])]), None);
        assert_eq!(proposed(&[("w", &[2, 3]), ("b", &[3]), ("v", &[1, 3])]), None);
    }
}
