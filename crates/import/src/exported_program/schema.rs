//! What `models/model.json` holds, as PyTorch's `torch/_export/serde/schema.py` defines it for major version 8. Fields that
//! are not needed are left out.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

#[derive(Debug, Deserialize)]
pub(crate) struct Model {
    pub(crate) graph_module: GraphModule,
    #[serde(default)]
    pub(crate) torch_version: String,
}

/// The version alone, read before anything else so that another one is told by name.
#[derive(Debug, Deserialize)]
pub(crate) struct Versioned {
    pub(crate) schema_version: Version,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Version {
    pub(crate) major: u64,
    pub(crate) minor: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct GraphModule {
    pub(crate) graph: Graph,
    pub(crate) signature: Signature,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) tensor_values: BTreeMap<String, TensorMeta>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) target: String,
    pub(crate) inputs: Vec<NamedArgument>,
    pub(crate) outputs: Vec<Argument>,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct NamedArgument {
    pub(crate) name: String,
    pub(crate) arg: Argument,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Name {
    pub(crate) name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Argument {
    AsNone(IgnoredAny),
    AsTensor(Name),
    AsTensors(Vec<Name>),
    AsInt(i64),
    AsInts(Vec<i64>),
    AsFloat(Float),
    AsFloats(Vec<Float>),
    AsString(String),
    AsSymInt(SymbolicInt),
    AsSymInts(Vec<SymbolicInt>),
    AsScalarType(u64),
    AsBool(bool),
    AsOptionalTensors(Vec<OptionalTensor>),
    AsOptionalTensor(OptionalTensor),
    AsGraph(IgnoredAny),
    #[serde(alias = "as_memory_format")]
    #[serde(alias = "as_layout")]
    #[serde(alias = "as_device")]
    #[serde(alias = "as_strings")]
    #[serde(alias = "as_bools")]
    #[serde(alias = "as_sym_bool")]
    #[serde(alias = "as_sym_bools")]
    #[serde(alias = "as_sym_float")]
    #[serde(alias = "as_sym_floats")]
    #[serde(alias = "as_custom_obj")]
    #[serde(alias = "as_operator")]
    #[serde(alias = "as_complex")]
    #[serde(alias = "as_nested_tensors")]
    #[serde(alias = "as_int_lists")]
    #[serde(alias = "as_string_to_argument")]
    #[serde(alias = "as_float_lists")]
    Other(IgnoredAny),
}

/// A floating point number; JSON has no infinity, so that it is written as text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Float(pub(crate) f64);

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(Self(number)),
            Written::Text(text) => match text.as_str() {
                "Infinity" => Ok(Self(f64::INFINITY)),
                "-Infinity" => Ok(Self(f64::NEG_INFINITY)),
                "NaN" => Ok(Self(f64::NAN)),
                other => Err(serde::de::Error::custom(format!("`{other}` is no number"))),
            },
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SymbolicInt {
    AsName(String),
    AsInt(i64),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OptionalTensor {
    AsTensor(Name),
    AsNone(IgnoredAny),
}

#[derive(Debug, Deserialize)]
pub(crate) struct TensorMeta {
    pub(crate) dtype: u64,
    pub(crate) sizes: Vec<Extent>,
    #[serde(default)]
    pub(crate) strides: Vec<Extent>,
    pub(crate) storage_offset: Option<Extent>,
    #[serde(default)]
    pub(crate) requires_grad: bool,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Extent {
    AsInt(i64),
    AsExpr(Expression),
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Expression {
    pub(crate) expr_str: String,
}

impl Expression {
    /// The symbol's name where the expression is one, as `Symbol('s77', positive=True, integer=True)` writes it.
    pub(crate) fn symbol(&self) -> Option<&str> {
        let rest = self.expr_str.strip_prefix("Symbol('");
        match rest {
            Some(rest) if rest.ends_with(')') => rest.split_once('\'').map(|(name, _)| name),
            Some(_) => None,
            // Older files have the name alone.
            None => self.expr_str.chars().all(|c| c.is_ascii_alphanumeric() || c == '_').then_some(&self.expr_str),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Signature {
    pub(crate) input_specs: Vec<InputSpec>,
    pub(crate) output_specs: Vec<OutputSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InputSpec {
    Parameter { arg: Name, parameter_name: String },
    Buffer { arg: Name, buffer_name: String, persistent: bool },
    TensorConstant { arg: Name, tensor_constant_name: String },
    UserInput { arg: Argument },
    ConstantInput(IgnoredAny),
    CustomObj(IgnoredAny),
    Token(IgnoredAny),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OutputSpec {
    UserOutput {
        arg: Argument,
    },
    #[serde(alias = "loss_output")]
    #[serde(alias = "buffer_mutation")]
    #[serde(alias = "gradient_to_parameter")]
    #[serde(alias = "gradient_to_user_input")]
    #[serde(alias = "user_input_mutation")]
    #[serde(alias = "token")]
    #[serde(alias = "parameter_mutation")]
    Other(IgnoredAny),
}

/// `data/weights/model_weights_config.json` and its like for constants.
#[derive(Debug, Deserialize)]
pub(crate) struct Payloads {
    pub(crate) config: BTreeMap<String, Payload>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Payload {
    pub(crate) path_name: String,
    #[serde(default)]
    pub(crate) use_pickle: bool,
    pub(crate) tensor_meta: Option<TensorMeta>,
}
