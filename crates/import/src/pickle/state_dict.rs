//! Which dict of a file holds the weights, and what stands beside it.

use std::collections::{HashMap, HashSet};

use super::machine::{Heap, Object, Value};
use super::tensor::Storages;
use super::{Pickled, damaged};
use crate::{Error, Result};

/// Where trainers put the weights, the likeliest first.
const USUAL: [&str; 14] = [
    "state_dict",
    "model_state_dict",
    "model",
    "model_state",
    "net",
    "network",
    "weights",
    "params",
    "module",
    "generator",
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
];

/// The longest key of a state_dict or of a number beside it.
const LONGEST_KEY: usize = 200;

/// State_dicts lie no deeper than this.
const DEEPEST: usize = 4;

/// A tensor may be in a file once and in a state_dict several times, tied or expanded; more than this is an attack.
const MOST_COPIES: usize = 8;

/// A dict of tensors, by the keys on the way to it.
struct Candidate {
    path: String,
    dict: Value,
}

pub(super) fn read(
    heap: &Heap,
    root: Value,
    storages: &Storages<'_>,
    place: &str,
    choice: Option<&str>,
) -> Result<Pickled> {
    let candidates = candidates(heap, root);
    let (chosen, notes) = choose(&candidates, place, choice)?;
    let mut pickled = Pickled { notes, ..Pickled::default() };
    let mut budget = heap.file_length().saturating_mul(MOST_COPIES).saturating_add(1 << 20);
    let mut places = HashMap::new();
    for &(key, value) in heap.dict(chosen.dict).unwrap_or_default() {
        let (Some(name), Some(Object::Tensor(view))) = (heap.text(key), heap.get(value)) else { continue };
        let array =
            view.read(heap, storages, &mut budget).map_err(|what| damaged(place, format!("`{name}`: {what}")))?;
        match places.get(name) {
            // A dict keeps the last value of a key, at the place of the first.
            Some(&at) => {
                if let Some(slot) = pickled.arrays.get_mut::<usize>(at) {
                    slot.1 = array;
                }
            }
            None => {
                places.insert(name, pickled.arrays.len());
                pickled.arrays.push((name.to_owned(), array));
            }
        }
    }
    for &(key, value) in heap.dict(root).unwrap_or_default() {
        if let (Some(name), Some(text)) = (key_text(heap, key), scalar(heap, value)) {
            pickled.metadata.push((name.to_owned(), text));
        }
    }
    Ok(pickled)
}

fn key_text(heap: &Heap, key: Value) -> Option<&str> {
    heap.text(key).filter(|text| text.len() <= LONGEST_KEY)
}

/// A number or a short text.
fn scalar(heap: &Heap, value: Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Int(value) => Some(value.to_string()),
        Value::Float(value) => Some(value.to_string()),
        Value::None => None,
        Value::Object(_) => heap.text(value).filter(|text| text.len() <= LONGEST_KEY).map(str::to_owned),
    }
}

/// The dicts with tensors in them, each once, level by level.
fn candidates(heap: &Heap, root: Value) -> Vec<Candidate> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    let mut level = vec![(String::new(), root)];
    for _ in 0..DEEPEST {
        let mut below = Vec::new();
        for (path, dict) in level {
            let items = heap.dict(dict).unwrap_or_default();
            for &(key, value) in items {
                let (Some(key), Value::Object(at), Some(_)) = (key_text(heap, key), value, heap.dict(value)) else {
                    continue;
                };
                if seen.insert(at) {
                    below.push((if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }, value));
                }
            }
            let is_tensor = |&(key, value): &(Value, Value)| {
                heap.text(key).is_some() && matches!(heap.get(value), Some(Object::Tensor(_)))
            };
            if items.iter().any(is_tensor) {
                found.push(Candidate { path, dict });
            }
        }
        level = below;
    }
    found
}

fn choose<'a>(candidates: &'a [Candidate], place: &str, choice: Option<&str>) -> Result<(&'a Candidate, Vec<String>)> {
    let listed = || {
        let paths = candidates.iter().filter(|candidate| !candidate.path.is_empty());
        paths.map(|candidate| format!("`{place}#{}`", candidate.path)).collect::<Vec<_>>().join(", ")
    };
    if let Some(choice) = choice {
        return match candidates.iter().find(|candidate| candidate.path == choice) {
            Some(candidate) => Ok((candidate, vec![])),
            None => Err(Error::new(
                format!("`{place}` has no state_dict under `{choice}`"),
                match listed().as_str() {
                    "" => format!("it holds a single one: name `{place}`"),
                    listed => format!("it has {listed}"),
                },
            )),
        };
    }
    let last = |candidate: &Candidate| candidate.path.rsplit('.').next().unwrap_or_default().to_owned();
    // Averages that an optimizer keeps are no weights of a model.
    let of_model = |candidate: &&Candidate| !candidate.path.split('.').any(|key| key.starts_with("optim"));
    let models: Vec<&Candidate> = candidates.iter().filter(of_model).collect();
    let usual = USUAL.iter().find_map(|key| models.iter().find(|candidate| last(candidate) == *key));
    let root = models.iter().find(|candidate| candidate.path.is_empty());
    let chosen = match (usual, root, models.as_slice()) {
        (Some(chosen), _, _) | (None, Some(chosen), _) | (None, None, [chosen]) => *chosen,
        (None, None, []) => {
            return Err(Error::new(
                format!("`{place}` holds no state_dict: there is no dict of tensors or NumPy arrays in it"),
                "save the weights with `torch.save(model.state_dict(), …)`",
            ));
        }
        (None, None, _) => {
            return Err(Error::new(
                format!("`{place}` holds several state_dicts: {}", listed()),
                "name the one you mean, as they are written there",
            ));
        }
    };
    let others = models.iter().filter(|other| other.dict != chosen.dict && !other.path.is_empty());
    let others: Vec<String> = others.map(|other| format!("`{place}#{}`", other.path)).collect();
    let notes = match others.as_slice() {
        [] => vec![],
        others => vec![format!("took the state_dict `{}`; the file also has {}", chosen.path, others.join(", "))],
    };
    Ok((chosen, notes))
}
