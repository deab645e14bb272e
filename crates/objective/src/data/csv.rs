//! Tables of numbers as text: a row for each sample, a column for each input, and one for the target.

use std::io::Read;
use std::path::Path;

use candle_core::{Device, Tensor};
use csv::StringRecord;

use super::{Samples, Split, Targets};
use crate::{Error, Result, file, suggestion};

/// Columns that are taken for the target where none is named.
const TARGETS: [&str; 3] = ["label", "target", "y"];
/// Integers beyond are counts or years rather than classes.
const MOST_CLASSES: usize = 10_000;

pub(super) fn read(path: &Path, target: Option<&str>, split: Split) -> Result<Samples> {
    if split == Split::Test {
        return Err(Error::NoSplit {
            message: format!("`{}` is one table, without a test split", path.display()),
            hint: "name another file with `--data csv:FILE`, or choose `--split train`".into(),
        });
    }
    file::length(path)?;
    let opened = std::fs::File::open(path).map_err(|cause| Error::io("read", path, cause))?;
    parse(opened, path, target)
}

/// The numbers of a table as they come.
struct Table {
    inputs: Vec<f32>,
    /// Each target, and whether it is written as an integer.
    targets: Vec<(f64, bool)>,
}

fn parse(text: impl Read, path: &Path, target: Option<&str>) -> Result<Samples> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(text);
    let mut table = Table { inputs: Vec::new(), targets: Vec::new() };
    let mut columns: Option<Columns> = None;
    for row in reader.records() {
        let row = row.map_err(|cause| {
            Error::input(
                format!("`{}` is no table of numbers: {cause}", path.display()),
                "write rows of equally many numbers in UTF-8, separated by commas",
            )
        })?;
        match &columns {
            Some(columns) => table.add(&row, columns, path)?,
            None => {
                let (found, has_header) = Columns::find(&row, target, path)?;
                if !has_header {
                    table.add(&row, &found, path)?;
                }
                columns = Some(found);
            }
        }
    }
    let Some(columns) = columns.filter(|_| !table.targets.is_empty()) else {
        return Err(Error::input(format!("`{}` has no rows of numbers", path.display()), "give a row for each sample"));
    };
    let samples = table.targets.len();
    let targets = table.to_targets(&columns, path)?;
    Ok((Tensor::from_vec(table.inputs, (samples, columns.names.len() - 1), &Device::Cpu)?, targets).into())
}

/// How a table's columns are called, and which of them is the target.
struct Columns {
    names: Vec<String>,
    target: usize,
}

impl Columns {
    /// Those of the first row, which is a header where one of its fields is no number.
    fn find(row: &StringRecord, target: Option<&str>, path: &Path) -> Result<(Self, bool)> {
        let has_header = row.iter().any(|field| field.parse::<f64>().is_err());
        let names: Vec<String> = match has_header {
            true => row.iter().map(str::to_owned).collect(),
            false => (1..=row.len()).map(|column| column.to_string()).collect(),
        };
        if names.len() < 2 {
            return Err(Error::input(
                format!("`{}` has one column, expected inputs and a target", path.display()),
                "separate columns with commas",
            ));
        }
        let target = match target {
            Some(wanted) => names.iter().position(|name| name == wanted).ok_or_else(|| {
                let known: Vec<&str> = names.iter().take(50).map(String::as_str).collect();
                let message = format!("there is no column `{wanted}` in `{}`", path.display());
                Error::input(message, suggestion::hint(wanted, &known))
            })?,
            None => {
                let usual = |name: &&str| names.iter().position(|column| column.eq_ignore_ascii_case(name));
                TARGETS.iter().find_map(usual).unwrap_or(names.len() - 1)
            }
        };
        Ok((Self { names, target }, has_header))
    }

    fn target_name(&self) -> &str {
        self.names.get(self.target).map_or("", String::as_str)
    }
}

impl Table {
    fn add(&mut self, row: &StringRecord, columns: &Columns, path: &Path) -> Result<()> {
        for (column, field) in row.iter().enumerate() {
            let value = field.parse::<f64>().ok().filter(|value| value.is_finite()).ok_or_else(|| {
                let line = row.position().map_or(0, csv::Position::line);
                let name = columns.names.get(column).map_or("", String::as_str);
                Error::input(
                    format!("`{}`, line {line}: column `{name}` is `{field}`, expected a number", path.display()),
                    "fill in what is missing, and write categories as numbers",
                )
            })?;
            match column == columns.target {
                true => self.targets.push((value, field.parse::<i64>().is_ok())),
                false => self.inputs.push(value as f32),
            }
        }
        Ok(())
    }

    fn to_targets(&self, columns: &Columns, path: &Path) -> Result<Targets> {
        let samples = self.targets.len();
        if self.targets.iter().any(|(_, is_integer)| !is_integer) {
            let values: Vec<f32> = self.targets.iter().map(|(value, _)| *value as f32).collect();
            return Ok(Targets::Real(Tensor::from_vec(values, (samples, 1), &Device::Cpu)?.into()));
        }
        let labels: Vec<i64> = self.targets.iter().map(|(value, _)| *value as i64).collect();
        let (least, most) =
            labels.iter().fold((i64::MAX, 0), |(least, most), &label| (least.min(label), most.max(label)));
        let classes = usize::try_from(most).ok().and_then(|most| most.checked_add(1)).filter(|_| least >= 0);
        match classes.filter(|&classes| classes <= MOST_CLASSES.max(samples)) {
            Some(classes) => {
                let labels = Tensor::from_vec(labels, samples, &Device::Cpu)?;
                Ok(Targets::classes(labels, classes))
            }
            None => Err(Error::input(
                format!(
                    "`{}`: the target `{}` holds integers from {least} to {most}, which are no classes",
                    path.display(),
                    columns.target_name()
                ),
                "number classes from 0; write targets that are numbers with a point, as in 7.0",
            )),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(text: &str, target: Option<&str>) -> Result<Samples> {
        parse(text.as_bytes(), Path::new("t.csv"), target)
    }

    #[test]
    fn integers_are_classes_and_other_numbers_are_fitted() {
        let Samples { inputs, targets, .. } = table("a,label,b\n1,2,3.5\n4,0,6\n", None).unwrap();
        assert_eq!(inputs.tensor().unwrap().to_vec2::<f32>().unwrap(), [[1.0, 3.5], [4.0, 6.0]]);
        assert!(matches!(targets, Targets::Classes { classes: 3, .. }));
        let Samples { inputs, targets, .. } = table("1, 2, 3.0\n\n4, 5, 6\n", None).unwrap();
        assert_eq!(inputs.tensor().unwrap().to_vec2::<f32>().unwrap(), [[1.0, 2.0], [4.0, 5.0]]);
        let Targets::Real(values) = targets else { unreachable!() };
        assert_eq!(values.tensor().unwrap().to_vec2::<f32>().unwrap(), [[3.0], [6.0]]);
        assert_eq!(
            table("a,b,c\n1,2,3\n", Some("a")).unwrap().inputs.tensor().unwrap().to_vec2::<f32>().unwrap(),
            [[2.0, 3.0]]
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, target, message) in [
            ("a,b\n1,2\n3,x\n", None, "line 3: column `b` is `x`"),
            ("1,2\n,3\n", None, "line 2: column `1` is ``"),
            ("1,nan\n", None, "is `nan`"),
            ("1,2\n3\n", None, "is no table"),
            ("1\n2\n", None, "one column"),
            ("", None, "no rows"),
            ("a,b\n", None, "no rows"),
            ("a,b\n1,2\n", Some("c"), "no column `c`"),
            ("1,-1\n2,1\n", None, "integers from -1 to 1"),
            ("1,1999\n2,2000000\n", None, "integers from 1999 to 2000000"),
        ] {
            let error = table(text, target).unwrap_err();
            assert!(error.to_string().contains(message), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes[..], Path::new("t.csv"), None);
        }

        #[test]
        fn any_table_is_read_or_refused(text in "[0-9ae.,\"\n-]{0,80}") {
            let _ = table(&text, Some("a"));
        }
    }
}
