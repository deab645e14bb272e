//! Networks that others trained, on the images they were trained for: the accuracies are theirs. The files are no part of the
//! project; where they are not at hand the tests say so.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::basin::{Basin, field};

/// Where such files lie.
fn shared() -> PathBuf {
    let named = std::env::var_os("BASIN_SHARED").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"))
}

/// The path of one of them, where it is there.
pub(crate) fn real(name: &str) -> Option<String> {
    let path = shared().join(name);
    if !path.exists() {
        println!("skipped: `{}` is not there", path.display());
        return None;
    }
    Some(path.to_str().unwrap().to_owned())
}

/// The architecture of a network outside of the zoo, without weights.
fn architecture(name: &str) -> String {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/exported/real");
    goldens.join(name).to_str().unwrap().to_owned()
}

/// Says loss and accuracy, and measures in the last layer alone, which costs little more.
fn arguments<'a>(weights: &'a str, model: &'a str, data: &'a str, standardize: &'a str, last: &'a str) -> Vec<&'a str> {
    let measure = ["sharpness", "--measure", "gradient-norm", "--split", "test", "--json"];
    [&measure[..], &[weights, "--model", model, "--data", data, "--standardize", standardize, "--parameters", last]]
        .concat()
}

#[test]
fn convolutional_networks_on_mnist() {
    let basin = Basin::new();
    let Some(data) = real("mnist").map(|folder| format!("mnist:{folder}")) else { return };
    for (name, model, last, accuracy) in [
        ("models/ccexam_mnist.pth", "ccexam.pt2", "classifier.2.*", "99.05%"),
        ("models/burn_mnist.safetensors", "burn.pt2", "fc2.*", "99.17%"),
    ] {
        let Some(weights) = real(name) else { return };
        let model = architecture(model);
        let right = arguments(&weights, &model, &data, "mnist", last);
        let record = basin.done(&[&right[..], &["--expect-accuracy", accuracy]].concat()).json();
        assert_eq!(field(&record, "evaluation.samples"), 10_000, "{name}");
        // Pixels as they are, which it was not trained on.
        let raw = arguments(&weights, &model, &data, "none", last);
        let raw = basin.run(&[&raw[..], &["--samples", "1000", "--expect-accuracy", accuracy]].concat());
        raw.assert_refused(&["accuracy"]);
    }
}

/// Two hundred images of each class as JPEG files, on which the networks answer about a tenth less right than on the original
/// ones; all ten thousand are 81.10 % and 80.64 %.
#[test]
fn residual_networks_on_cifar10_as_jpeg() {
    let basin = Basin::new();
    let Some(archive) = real("cifar10-jpeg/cifar10-jpeg.tar.gz") else { return };
    let extracted = Command::new("tar")
        .args(["-xzf", &archive, "--wildcards", "test/*/00??.jpg", "test/*/01??.jpg"])
        .current_dir(basin.path(""))
        .status();
    if !extracted.is_ok_and(|status| status.success()) {
        println!("skipped: GNU tar is not there");
        return;
    }
    for (name, model, standardize, last, accuracy) in [
        ("models/resnet20-12fca82f.th", "resnet20", "imagenet", "linear.*", 0.8110),
        (
            "models/pyhessian_resnet20_net.pkl",
            "resnet20:b",
            "0.4914,0.4822,0.4465:0.2023,0.1994,0.2010",
            "linear.*",
            0.8064,
        ),
    ] {
        let Some(weights) = real(name) else { return };
        let record = basin.done(&arguments(&weights, model, "images:.", standardize, last)).json();
        assert_eq!(field(&record, "evaluation.samples"), 2000, "{name}");
        let found = field(&record, "evaluation.accuracy").as_f64().unwrap();
        // Two standard errors of a share of 2,000.
        assert!((found - accuracy).abs() < 0.0175, "{name}: {found}");
    }
}
