//! Arithmetic, comparisons and choices with broadcasting.

use basin_tape::ops::{Add, Affine, Comparison, Discrete, Div, Mul, Power, Sub, Where};
use candle_core::{Device, Tensor};

use super::{Array, Extent, Graph, Kind, Read, shape_text};

/// A number of a file: whole, or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// A truth value.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A floating point number.
    Float(f64),
}

impl Number {
    pub(crate) fn value(self) -> f64 {
        match self {
            Self::Boolean(truth) => f64::from(u8::from(truth)),
            Self::Integer(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Boolean(_) => Kind::Boolean,
            Self::Integer(_) => Kind::Integer,
            Self::Float(_) => Kind::Float,
        }
    }

    /// The number as an array without axes.
    pub(crate) fn array(self, kind: Kind) -> Read<Array> {
        let cpu = &Device::Cpu;
        Array::constant(match kind {
            Kind::Boolean => Tensor::new(u8::from(self.value() != 0.0), cpu)?,
            Kind::Integer => match self {
                Self::Integer(number) => Tensor::new(number, cpu)?,
                _ => Tensor::new(self.value() as i64, cpu)?,
            },
            Kind::Float => Tensor::new(self.value(), cpu)?,
        })
    }
}

/// The four operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Graph {
    /// The shape to which arrays are broadcast.
    pub(crate) fn broadcast_shape(&self, shapes: &[&[Extent]]) -> Read<Vec<Extent>> {
        let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
        let mut common = vec![Extent::Fixed(1); rank];
        for shape in shapes {
            for (extent, &own) in common[rank - shape.len()..].iter_mut().zip(*shape) {
                match (*extent, own) {
                    (a, b) if a == b => {}
                    (Extent::Fixed(1), own) => *extent = own,
                    (_, Extent::Fixed(1)) => {}
                    _ => {
                        let texts: Vec<String> = shapes.iter().map(|shape| shape_text(shape)).collect();
                        return Err(format!("the shapes {} cannot be broadcast", texts.join(" and ")).into());
                    }
                }
            }
        }
        Ok(common)
    }

    fn of_two(
        &mut self,
        a: &Array,
        b: &Array,
        kind: Kind,
        op: impl basin_tape::Op + 'static,
        result: Kind,
    ) -> Read<Array> {
        let mut both = [self.cast(a, kind)?, self.cast(b, kind)?];
        self.freed_of_tracing(&mut both)?;
        let [a, b] = &both;
        let shape = self.broadcast_shape(&[&a.shape, &b.shape])?;
        self.apply(op, &[a, b], shape, result)
    }

    /// a ∘ b with broadcasting, in the richer kind of the two; a quotient is a floating point number.
    pub(crate) fn arithmetic(&mut self, operation: Arithmetic, a: &Array, b: &Array) -> Read<Array> {
        let kind = a.kind.max(b.kind).max(Kind::Integer);
        match operation {
            Arithmetic::Add => self.of_two(a, b, kind, Add, kind),
            Arithmetic::Subtract => self.of_two(a, b, kind, Sub, kind),
            Arithmetic::Multiply => self.of_two(a, b, kind, Mul, kind),
            Arithmetic::Divide => self.of_two(a, b, Kind::Float, Div, Kind::Float),
        }
    }

    /// x ∘ number.
    pub(crate) fn with_number(&mut self, operation: Arithmetic, x: &Array, number: Number) -> Read<Array> {
        let kind = x.kind.max(number.kind());
        if kind != Kind::Float && operation != Arithmetic::Divide {
            let number = number.array(kind.max(Kind::Integer))?;
            return self.arithmetic(operation, x, &number);
        }
        let number = number.value();
        match operation {
            Arithmetic::Add => self.affine(x, 1.0, number),
            Arithmetic::Subtract => self.affine(x, 1.0, -number),
            Arithmetic::Multiply => self.affine(x, number, 0.0),
            Arithmetic::Divide => self.affine(x, 1.0 / number, 0.0),
        }
    }

    /// scale · x + shift as floating point numbers.
    pub(crate) fn affine(&mut self, x: &Array, scale: f64, shift: f64) -> Read<Array> {
        let x = self.cast(x, Kind::Float)?;
        if (scale, shift) == (1.0, 0.0) {
            return Ok(x);
        }
        self.apply(Affine { scale, shift }, &[&x], x.shape.clone(), Kind::Float)
    }

    pub(crate) fn add(&mut self, a: &Array, b: &Array) -> Read<Array> {
        self.arithmetic(Arithmetic::Add, a, b)
    }

    pub(crate) fn subtract(&mut self, a: &Array, b: &Array) -> Read<Array> {
        self.arithmetic(Arithmetic::Subtract, a, b)
    }

    pub(crate) fn multiply(&mut self, a: &Array, b: &Array) -> Read<Array> {
        self.arithmetic(Arithmetic::Multiply, a, b)
    }

    pub(crate) fn divide(&mut self, a: &Array, b: &Array) -> Read<Array> {
        self.arithmetic(Arithmetic::Divide, a, b)
    }

    /// Whole numbers divided and rounded down.
    pub(crate) fn floor_divide(&mut self, a: &Array, b: &Array) -> Read<Array> {
        if a.kind.max(b.kind) == Kind::Float {
            let quotient = self.divide(a, b)?;
            return self.discrete(Discrete::Floor, &quotient);
        }
        self.of_two(a, b, Kind::Integer, Discrete::FloorDivide, Kind::Integer)
    }

    /// What is left of a after whole multiples of b, with the sign of b.
    pub(crate) fn remainder(&mut self, a: &Array, b: &Array) -> Read<Array> {
        let whole = self.floor_divide(a, b)?;
        let taken = self.multiply(&whole, b)?;
        self.subtract(a, &taken)
    }

    /// An operation of one array that keeps its shape and kind, and has no derivative.
    pub(crate) fn discrete(&mut self, op: Discrete, x: &Array) -> Read<Array> {
        self.apply(op, &[x], x.shape.clone(), x.kind)
    }

    /// The truth value of a comparison.
    pub(crate) fn compare(&mut self, comparison: Comparison, a: &Array, b: &Array) -> Read<Array> {
        let kind = a.kind.max(b.kind);
        self.of_two(a, b, kind, Discrete::Compare(comparison), Kind::Boolean)
    }

    /// Both, or one at least, of two truth values.
    pub(crate) fn logic(&mut self, op: Discrete, a: &Array, b: &Array) -> Read<Array> {
        self.of_two(a, b, Kind::Boolean, op, Kind::Boolean)
    }

    /// Not a truth value.
    pub(crate) fn not(&mut self, x: &Array) -> Read<Array> {
        let x = self.cast(x, Kind::Boolean)?;
        self.discrete(Discrete::Not, &x)
    }

    /// a where the condition holds, else b.
    pub(crate) fn choose(&mut self, condition: &Array, a: &Array, b: &Array) -> Read<Array> {
        let kind = a.kind.max(b.kind);
        let mut all = [self.cast(condition, Kind::Boolean)?, self.cast(a, kind)?, self.cast(b, kind)?];
        self.freed_of_tracing(&mut all)?;
        let [condition, a, b] = &all;
        let shape = self.broadcast_shape(&[&condition.shape, &a.shape, &b.shape])?;
        self.apply(Where, &[condition, a, b], shape, kind)
    }

    /// The larger of two at each place, or the smaller.
    pub(crate) fn extreme_of_two(&mut self, a: &Array, b: &Array, largest: bool) -> Read<Array> {
        let comparison = if largest { Comparison::GreaterOrEqual } else { Comparison::LessOrEqual };
        let first = self.compare(comparison, a, b)?;
        self.choose(&first, a, b)
    }

    /// xᵖ for a number p.
    pub(crate) fn power(&mut self, x: &Array, exponent: f64) -> Read<Array> {
        match x.kind {
            Kind::Float => self.elementwise(Power { exponent }, x),
            _ => {
                let x = self.cast(x, Kind::Float)?;
                let y = self.elementwise(Power { exponent }, &x)?;
                if exponent >= 0.0 && exponent.fract() == 0.0 { self.cast(&y, Kind::Integer) } else { Ok(y) }
            }
        }
    }
}
