//! An optimizer as it was typed, and as it is told.

use basin_objective::Error;
use basin_training::{LearningRate, OptimizerSettings, SgdSettings};
use toml::{Table, Value};

use crate::arguments::OptimizerArguments;

/// The optimizer that was typed, with what was typed about it, or the one of a study file or the default.
pub(super) fn resolved(typed: &OptimizerArguments, base: OptimizerSettings) -> Result<OptimizerSettings, Error> {
    let automatic = typed.learning_rate == Some(LearningRate::Automatic);
    // An automatic learning rate is that of one optimizer.
    let chosen = match typed.optimizer.as_deref().or(automatic.then_some("sgd")) {
        Some(name) if name != base.name() => named(name)?,
        _ => base,
    };
    if automatic && !matches!(chosen, OptimizerSettings::Sgd(_)) {
        return Err(Error::input(
            "an automatic learning rate is that of stochastic gradient descent with momentum",
            "add `--optimizer sgd`, or give a number such as 0.001",
        ));
    }
    let name = chosen.name();
    let mut table = written(&chosen)?;
    if let Some(base) = &typed.base {
        let holder = holder(&mut table, "base").ok_or_else(|| no_such_setting(name, "base"))?;
        holder.insert("base".into(), written(&named(base)?)?.into());
    }
    for (setting, value) in typed_settings(typed) {
        match holder(&mut table, setting) {
            Some(holder) => holder.insert(setting.into(), value),
            None => return Err(no_such_setting(name, setting)),
        };
    }
    table.try_into().map_err(|error| Error::input(format!("the optimizer {name}: {error}"), "see `basin train --help`"))
}

/// What was typed, by the names that settings have in a study file.
fn typed_settings(typed: &OptimizerArguments) -> Vec<(&'static str, Value)> {
    let learning_rate = typed.learning_rate.map(|learning_rate| match learning_rate {
        LearningRate::Fixed(learning_rate) => learning_rate.into(),
        LearningRate::Automatic => "auto".into(),
    });
    let number = |number: Option<f64>| number.map(Value::from);
    let settings = [
        ("learning_rate", learning_rate),
        ("momentum", number(typed.momentum)),
        ("nesterov", typed.nesterov.then_some(true.into())),
        ("weight_decay", number(typed.weight_decay)),
        ("beta1", number(typed.beta1)),
        ("beta2", number(typed.beta2)),
        ("trust", number(typed.trust)),
        ("clip", typed.clip.then_some(true.into())),
        ("rho", number(typed.rho)),
        ("noise", number(typed.noise)),
        ("penalty", number(typed.penalty)),
        ("inner", typed.inner.map(Value::from)),
        ("probes", typed.probes.map(Value::from)),
        ("history", typed.history.map(Value::from)),
    ];
    settings.into_iter().filter_map(|(setting, value)| Some((setting, value?))).collect()
}

/// The optimizer with its default settings.
fn named(name: &str) -> Result<OptimizerSettings, Error> {
    let found = OptimizerSettings::all().into_iter().find(|settings| settings.name() == name);
    found.ok_or_else(|| Error::input(format!("unknown optimizer `{name}`"), "see `basin train --help`"))
}

/// The settings as in a study file.
fn written(settings: &OptimizerSettings) -> Result<Table, Error> {
    let unwritten = |error| Error::input(format!("the optimizer {}: {error}", settings.name()), "give finite numbers");
    Table::try_from(settings).map_err(unwritten)
}

/// Where a setting stands: with the optimizer, or with the one that it is built on.
fn holder<'t>(table: &'t mut Table, setting: &str) -> Option<&'t mut Table> {
    if table.contains_key(setting) {
        return Some(table);
    }
    holder(table.get_mut("base")?.as_table_mut()?, setting)
}

fn no_such_setting(name: &str, setting: &str) -> Error {
    let has =
        |settings: &OptimizerSettings| written(settings).is_ok_and(|mut table| holder(&mut table, setting).is_some());
    let others: Vec<_> = OptimizerSettings::all().into_iter().filter(has).map(|settings| settings.name()).collect();
    Error::input(
        format!("{name} has no {}", setting.replace('_', " ")),
        format!("leave it out, or use `--optimizer {}`", others.join("|")),
    )
}

/// An optimizer with all its settings, as text.
pub(super) fn described(settings: &OptimizerSettings) -> String {
    match settings {
        OptimizerSettings::Sgd(SgdSettings { learning_rate: LearningRate::Automatic, weight_decay, .. }) => {
            format!("sgd, learning rate and momentum auto, weight decay {weight_decay}")
        }
        OptimizerSettings::Sgd(sgd) => format!(
            "sgd, learning rate {}, momentum {}{}, weight decay {}",
            sgd.learning_rate,
            sgd.momentum,
            if sgd.nesterov { " (Nesterov)" } else { "" },
            sgd.weight_decay
        ),
        OptimizerSettings::Adam(adam) | OptimizerSettings::AdamW(adam) => format!(
            "{}, learning rate {}, β₁ {}, β₂ {}, ε {:e}, weight decay {}",
            settings.name(),
            adam.learning_rate,
            adam.beta1,
            adam.beta2,
            adam.epsilon,
            adam.weight_decay
        ),
        others => written(others).map_or_else(|_| others.name().into(), |table| listed(&table)),
    }
}

fn listed(table: &Table) -> String {
    let name = table.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let settings = table.iter().filter(|(setting, _)| *setting != "name").map(|(setting, value)| match value {
        Value::Table(base) => format!("on {}", listed(base)),
        // An ε of 1e-8 has eight digits otherwise.
        Value::Float(value) if *value < 1e-4 && *value != 0.0 => format!("{} {value:e}", setting.replace('_', " ")),
        Value::Float(value) => format!("{} {value}", setting.replace('_', " ")),
        value => format!("{} {value}", setting.replace('_', " ")),
    });
    [name].into_iter().chain(settings).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_optimizer_can_be_typed_and_is_told() {
        for settings in OptimizerSettings::all() {
            let found = named(settings.name()).expect("a known name");
            assert_eq!(found, settings);
            let told = described(&settings);
            assert!(told.starts_with(settings.name()) && told.contains("learning rate"), "{told}");
        }
    }
}
