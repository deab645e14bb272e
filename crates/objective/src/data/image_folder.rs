//! Folders of images, one folder for each class, read as torchvision's `ImageFolder` does.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::decoding::ImageReading;
use super::rows::Source;
use super::{Color, Preprocessing, Rows, Samples, Split, Targets};
use crate::{Error, Result, file};

/// Endings that are read.
const READ: [&str; 4] = ["png", "jpg", "jpeg", "webp"];
/// Endings that `ImageFolder` reads besides: left out, the samples would be others than those trained on.
const OTHERS: [&str; 5] = ["ppm", "bmp", "pgm", "tif", "tiff"];
/// Folders within folders; links may lead in a circle.
const DEEPEST: usize = 16;

pub(super) fn read(folder: &Path, color: Color, split: Split, preprocessing: &Preprocessing) -> Result<Samples> {
    let Folders { train, test } = Folders::find(folder)?;
    let (root, numbering) = match (split, train, test) {
        (Split::Train, Some(train), _) => (train.clone(), train),
        (Split::Test, Some(train), Some(test)) => (test, train),
        (Split::Test, None, Some(test)) => (test.clone(), test),
        (Split::Test, _, None) => {
            return Err(Error::NoSplit {
                message: format!("there is no `test` or `val` in `{}`", folder.display()),
                hint: "put the classes' folders below `train` and `test`, or choose `--split train`".into(),
            });
        }
        (Split::Train, None, _) => {
            return Err(Error::input(
                format!("there is no `train` in `{}`", folder.display()),
                "choose `--split test`, or put the training images below `train`",
            ));
        }
    };
    let classes = class_names(&numbering)?;
    let (mut files, mut labels) = (Vec::new(), Vec::new());
    for name in class_names(&root)? {
        let Ok(class) = classes.binary_search(&name) else {
            return Err(Error::input(
                format!("the class `{name}` of `{}` is none of `{}`", root.display(), numbering.display()),
                "name the folders of both alike",
            ));
        };
        let of_class = images_below(&root.join(&name))?;
        labels.extend(of_class.iter().map(|_| class as i64));
        files.extend(of_class);
    }
    let samples = files.len();
    let images = Files { files, reading: ImageReading::new(color, preprocessing) };
    let labels = Tensor::new(labels, &Device::Cpu)?;
    Ok((Rows::stored(Arc::new(images), samples)?, Targets::classes(labels, classes.len())).into())
}

/// Images that are decoded when they are asked for.
#[derive(Debug)]
struct Files {
    files: Vec<PathBuf>,
    reading: ImageReading,
}

impl Source for Files {
    fn read(&self, positions: &[usize]) -> Result<Tensor> {
        let files: Vec<&PathBuf> = positions.iter().filter_map(|&position| self.files.get(position)).collect();
        self.reading.read(&files, |path| path.display().to_string(), |path| file::read(path))
    }
}

/// Where the classes' folders of each split are.
struct Folders {
    train: Option<PathBuf>,
    test: Option<PathBuf>,
}

impl Folders {
    fn find(folder: &Path) -> Result<Self> {
        let metadata = fs::metadata(folder).map_err(|cause| Error::io("read", folder, cause))?;
        if !metadata.is_dir() {
            return Err(Error::input(
                format!("`{}` is a file, expected a directory with a folder for each class", folder.display()),
                "name the directory, not a file in it",
            ));
        }
        let existing = |name: &&str| folder.join(name).is_dir();
        let train = Some("train").filter(|name| existing(name)).map(|name| folder.join(name));
        let test = ["test", "val"].into_iter().find(existing).map(|name| folder.join(name));
        Ok(match (train, test) {
            (None, None) => Self { train: Some(folder.to_owned()), test: None },
            (train, test) => Self { train, test },
        })
    }
}

/// Names of a directory's entries, sorted as Python sorts them: folders, and files.
fn entries(folder: &Path) -> Result<(Vec<String>, Vec<String>)> {
    let failed = |cause| Error::io("read", folder, cause);
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().into_string().map_err(|name| {
            Error::input(format!("`{}` holds a name that is no Unicode: {name:?}", folder.display()), "rename it")
        })?;
        match fs::metadata(entry.path()).map_err(failed)?.is_dir() {
            true => folders.push(name),
            false => files.push(name),
        }
    }
    folders.sort_unstable();
    files.sort_unstable();
    Ok((folders, files))
}

fn class_names(root: &Path) -> Result<Vec<String>> {
    let (folders, _) = entries(root)?;
    match folders.is_empty() {
        false => Ok(folders),
        true => Err(Error::input(
            format!("`{}` has no folders, expected one for each class", root.display()),
            "put the images of each class into a folder of its own",
        )),
    }
}

/// The images of a class, folder by folder in the order of their paths.
fn images_below(class: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = vec![(class.to_owned(), 0)];
    let mut found: Vec<(String, Vec<PathBuf>)> = Vec::new();
    while let Some((folder, depth)) = folders.pop() {
        if depth > DEEPEST {
            return Err(Error::input(
                format!("`{}` lies more than {DEEPEST} folders deep", folder.display()),
                "look for a link that leads in a circle",
            ));
        }
        let (inner, files) = entries(&folder)?;
        folders.extend(inner.into_iter().map(|name| (folder.join(name), depth + 1)));
        let mut images = Vec::new();
        for name in files {
            let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_lowercase()).unwrap_or_default();
            let path = folder.join(&name);
            if OTHERS.contains(&ending.as_str()) {
                return Err(Error::input(
                    format!("`{}` is of a kind that is not read", path.display()),
                    "convert it to PNG, which loses nothing; PNG, JPEG and WebP are read",
                ));
            }
            if READ.contains(&ending.as_str()) {
                images.push(path);
            }
        }
        found.push((folder.display().to_string(), images));
    }
    found.sort();
    let images: Vec<PathBuf> = found.into_iter().flat_map(|(_, images)| images).collect();
    match images.is_empty() {
        false => Ok(images),
        true => Err(Error::input(
            format!("there are no images in `{}`, which counts as a class", class.display()),
            "remove the folder, or put images of the class into it",
        )),
    }
}
