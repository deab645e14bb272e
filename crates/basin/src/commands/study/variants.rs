//! The ways to train that a study compares.

use basin_objective::Error;
use serde_json::{Map, Value};

use super::settings::{StudySettings, SweepSection, TrainingSection, WarmStartSection};

/// One way to train, at every batch size and seed.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    /// None where there is no other.
    pub(super) name: Option<String>,
    /// Where the variants are the values of one number, that number.
    pub(super) value: Option<f64>,
    pub(super) training: TrainingSection,
    /// After how many epochs of a run of the warm start it takes the weights.
    pub(super) warm_epochs: Option<u64>,
}

/// All variants of a study, at least one; the first is what the others are compared with.
pub(super) fn all(settings: &StudySettings) -> Result<Vec<Variant>, Error> {
    let StudySettings { training, variants, sweep, warm_start, .. } = settings;
    let found = match (variants.as_slice(), sweep, warm_start) {
        ([], None, None) => {
            vec![Variant { name: None, value: None, training: training.clone(), warm_epochs: None }]
        }
        (named, None, None) => {
            let variant = |name: &str, change| variant(training, name, None, change);
            named.iter().map(|section| variant(&section.name, &section.training)).collect::<Result<_, _>>()?
        }
        ([], Some(sweep), None) => swept(training, sweep)?,
        ([], None, Some(warm_start)) => warm_started(training, warm_start)?,
        _ => {
            return Err(Error::input(
                "a study has more than one of `variants`, `sweep` and `warm_start`",
                "keep one of them, and make another study of the other",
            ));
        }
    };
    check_names(&found)?;
    Ok(found)
}

/// What the values of the variants are of.
pub(super) fn swept_name(settings: &StudySettings) -> Option<String> {
    let sweep = settings.sweep.as_ref().map(|sweep| sweep.setting.clone());
    sweep.or(settings.warm_start.as_ref().map(|start| format!("epochs at batch size {} before", start.batch_size)))
}

/// A name as it stands in files: letters, digits and dots, all else as one dash.
pub(super) fn file_name(name: &str) -> String {
    let kept = |c: char| if c.is_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { ' ' };
    let kept: String = name.chars().map(kept).collect();
    kept.split_whitespace().collect::<Vec<_>>().join("-")
}

fn swept(training: &TrainingSection, sweep: &SweepSection) -> Result<Vec<Variant>, Error> {
    let SweepSection { setting, values } = sweep;
    let each = |value: &serde_json::Number| {
        let change = setting
            .rsplit('.')
            .fold(Value::Number(value.clone()), |inner, key| Value::Object(Map::from_iter([(key.to_owned(), inner)])));
        let change = change.as_object().cloned().unwrap_or_default();
        variant(training, &format!("{setting} = {value}"), value.as_f64(), &change)
    };
    at_least_one(values, "values")?.iter().map(each).collect()
}

fn warm_started(training: &TrainingSection, warm_start: &WarmStartSection) -> Result<Vec<Variant>, Error> {
    let each = |&epochs: &u64| Variant {
        name: Some(format!("after {epochs} epochs")),
        value: Some(epochs as f64),
        training: training.clone(),
        warm_epochs: Some(epochs),
    };
    Ok(at_least_one(&warm_start.epochs, "epochs")?.iter().map(each).collect())
}

fn at_least_one<'a, T>(list: &'a [T], name: &str) -> Result<&'a [T], Error> {
    match list {
        [] => Err(Error::input(format!("the list of {name} is empty"), "name at least one")),
        list => Ok(list),
    }
}

fn variant(
    training: &TrainingSection,
    name: &str,
    value: Option<f64>,
    change: &Map<String, Value>,
) -> Result<Variant, Error> {
    let changed = serde_json::to_value(training).and_then(|mut training| {
        overlay(&mut training, &Value::Object(change.clone()));
        serde_json::from_value(training)
    });
    let training = changed.map_err(|error| {
        Error::input(
            format!("the variant `{name}` cannot be trained: {error}"),
            "see docs/reference/study-file.md for the fields",
        )
    })?;
    Ok(Variant { name: Some(name.to_owned()), value, training, warm_epochs: None })
}

/// Puts what `change` sets in the place of what is there, field by field.
fn overlay(base: &mut Value, change: &Value) {
    match (base, change) {
        (Value::Object(base), Value::Object(change)) if !is_another(base, change) => {
            for (field, value) in change {
                overlay(base.entry(field).or_insert(Value::Null), value);
            }
        }
        (base, change) => *base = change.clone(),
    }
}

/// Whether another optimizer is named, which shares no settings with the one that is there.
fn is_another(base: &Map<String, Value>, change: &Map<String, Value>) -> bool {
    change.get("name").is_some_and(|name| base.get("name") != Some(name))
}

/// Names tell runs apart, in files too, and all minima are measured on the same samples.
fn check_names(variants: &[Variant]) -> Result<(), Error> {
    let names: Vec<&str> = variants.iter().filter_map(|variant| variant.name.as_deref()).collect();
    for (i, name) in names.iter().enumerate() {
        if file_name(name).is_empty() {
            return Err(Error::input(format!("a variant is named `{name}`"), "give it a name with letters or digits"));
        }
        if names[..i].iter().any(|other| file_name(other) == file_name(name)) {
            return Err(Error::input(
                format!("two variants are named `{name}`, or alike but for signs"),
                "give them names that differ in letters or digits",
            ));
        }
    }
    let data = |variant: &Variant| {
        let TrainingSection { data, inputs, samples, loss, .. } = variant.training.clone();
        (data, inputs, samples, loss)
    };
    match variants.iter().find(|variant| data(variant) != data(&variants[0])) {
        Some(variant) => Err(Error::input(
            format!(
                "the variant `{}` has data, inputs, samples or loss of its own",
                variant.name.as_deref().unwrap_or_default()
            ),
            "minima on other data are no others of the same objective: make a study of each",
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should say where")]
mod tests {
    use std::path::Path;

    use basin_training::OptimizerSettings;

    use super::*;

    fn variants(text: &str) -> Result<Vec<Variant>, Error> {
        all(&StudySettings::parse(text, Path::new("study.toml")).unwrap())
    }

    #[test]
    fn a_variant_changes_what_it_names_and_keeps_the_rest() {
        let found = variants(
            r#"
            [training]
            epochs = 7
            [training.optimizer]
            name = "sgd"
            learning_rate = 0.3
            momentum = 0.5
            [[variants]]
            name = "plain"
            [[variants]]
            name = "faster"
            training.optimizer.learning_rate = 0.6
            [[variants]]
            name = "LARS"
            training.optimizer = { name = "lars", trust = 0.01 }
            training.discard.share = 0.25
            "#,
        )
        .unwrap();
        let names: Vec<_> = found.iter().map(|variant| variant.name.as_deref().unwrap()).collect();
        assert_eq!(names, ["plain", "faster", "LARS"]);
        assert!(found.iter().all(|variant| variant.training.epochs == 7));
        let OptimizerSettings::Sgd(faster) = &found[1].training.optimizer else { panic!("no SGD") };
        assert_eq!((faster.learning_rate, faster.momentum), (basin_training::LearningRate::Fixed(0.6), 0.5));
        let OptimizerSettings::Lars(lars) = &found[2].training.optimizer else { panic!("no LARS") };
        assert_eq!((lars.trust, lars.momentum), (0.01, 0.9));
        assert_eq!([0.0, 0.0, 0.25], [0, 1, 2].map(|i| found[i].training.discard.share));
    }

    #[test]
    fn a_sweep_is_a_variant_for_each_value() {
        let found = variants("[sweep]\nsetting = \"discard.share\"\nvalues = [0, 0.3]").unwrap();
        let found: Vec<_> =
            found.iter().map(|v| (v.name.as_deref().unwrap(), v.value.unwrap(), v.training.discard.share)).collect();
        assert_eq!(found, [("discard.share = 0", 0.0, 0.0), ("discard.share = 0.3", 0.3, 0.3)]);
        let found = variants("[sweep]\nsetting = \"epochs\"\nvalues = [2, 4]").unwrap();
        assert_eq!([2, 4], [found[0].training.epochs, found[1].training.epochs]);
    }

    #[test]
    fn what_cannot_be_a_variant_is_refused() {
        for (text, wrong) in [
            ("[sweep]\nsetting = \"discard.shares\"\nvalues = [0]", "shares"),
            ("[sweep]\nsetting = \"discard.share\"\nvalues = []", "values"),
            ("[sweep]\nsetting = \"epochs\"\nvalues = [0.5]", "epochs = 0.5"),
            ("[sweep]\nsetting = \"epochs\"\nvalues = [1]\n[[variants]]\nname = \"a\"", "more than one"),
            ("[[variants]]\nname = \"a b\"\n[[variants]]\nname = \"A-b\"", "two variants"),
            ("[[variants]]\nname = \"+\"", "named `+`"),
            ("[[variants]]\nname = \"a\"\n[[variants]]\nname = \"b\"\ntraining.samples = 3", "of its own"),
            ("[[variants]]\nname = \"a\"\ntraining.optimizer.momentun = 3", "momentun"),
        ] {
            let error = variants(text).unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn names_of_files_have_no_signs() {
        assert_eq!(file_name("30 % of each batch / 30 epochs"), "30-of-each-batch-30-epochs");
        assert_eq!(file_name("discard.share = 0.1"), "discard.share-0.1");
    }
}
