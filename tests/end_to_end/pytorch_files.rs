//! Files of `torch.save`, as they are.

use std::path::Path;

use crate::basin::Basin;
use crate::real_networks::real;

fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/pickles").join(name);
    path.to_str().unwrap().to_owned()
}

#[test]
fn inspect_tells_what_is_in_them() {
    let basin = Basin::new();
    for name in ["zip.pt", "legacy.pth", "protocol5.pt", "trainer.ckpt", "parameter.pt"] {
        let text = basin.done(&["inspect", &golden(name)]).stdout;
        assert!(text.contains("fc1.weight") && text.contains("8 numbers in 2 tensors"), "{name}: {text}");
    }
    let text = basin.done(&["inspect", &golden("trainer.ckpt")]).stdout;
    assert!(text.contains("epoch: 3") && text.contains("best_prec1: 91.5"), "{text}");
    let text = basin.done(&["inspect", &golden("types.pt")]).stdout;
    assert!(text.contains("widened 1 tensor from bf16 to f32"), "{text}");
    assert!(text.contains("set aside: long (i64)"), "{text}");
    let text = basin.done(&["inspect", &format!("{}#state_dict_ema", golden("ema.pt"))]).stdout;
    assert!(text.contains("fc1.weight"), "{text}");
}

#[test]
fn what_runs_code_is_refused_and_not_run() {
    let basin = Basin::new();
    for name in ["malicious.pt", "malicious.pkl"] {
        basin.run(&["inspect", &golden(name)]).assert_refused(&[name, "`posix.system`", "state_dict()"]);
        assert!(!Path::new("/tmp/basin-was-here").exists());
    }
    basin.run(&["inspect", &golden("module.pt")]).assert_refused(&["whole module", "state_dict()"]);
}

const LINEAR: [&str; 4] = ["--model", "mlp:3-2:relu", "--data", "npz:d.npz"];

/// Three numbers per sample, two classes.
fn with_data() -> Basin {
    let basin = Basin::new();
    basin.write("d.npz", std::fs::read(golden("three-numbers.npz")).unwrap());
    basin
}

#[test]
fn names_that_differ_are_proposed_and_never_taken() {
    let basin = with_data();
    let spectrum = ["spectrum", "--top", "1", "--json"];
    let right = basin.done(&[&spectrum[..], &LINEAR, &[&golden("zip.pt")]].concat()).json();
    let file = golden("sequential.pt");
    let arguments = [&spectrum[..], &LINEAR, &[&file]].concat();
    let refused = basin.run(&arguments);
    refused.assert_refused(&["`fc1.weight` of shape [2, 3] is missing", "--rename net.0=fc1", "run: basin spectrum"]);
    // The command that it prints works.
    let command = refused.stderr.split("run: basin ").nth(1).unwrap().trim();
    let arguments: Vec<&str> = command.split(' ').collect();
    let renamed = basin.done(&arguments).json();
    assert_eq!(renamed["result"]["eigenvalues"], right["result"]["eigenvalues"]);
    basin.run(&[&arguments[..], &["--rename", "body=x"]].concat()).assert_refused(&["`--rename body=x` matches no"]);
}

#[test]
fn the_model_that_would_fit_is_named() {
    let basin = with_data();
    let file = golden("zip.pt");
    basin
        .run(&["keskar", &file, "--model", "mlp:3-5-2:relu", "--data", "npz:d.npz"])
        .assert_refused(&["--model mlp:3-2:relu"]);
}

#[test]
fn published_networks_fit_the_zoo() {
    let basin = Basin::new();
    basin.write("d.npz", std::fs::read(golden("images.npz")).unwrap());
    let fitted = |file: &str, model: &str| {
        basin.run(&[
            "keskar",
            file,
            "--model",
            model,
            "--data",
            "npz:d.npz",
            "--draws",
            "1",
            "--dimension",
            "1",
            "--subspace",
            "manifold",
            "--epsilon",
            "1e-3",
        ])
    };
    for (name, model, other) in
        [("resnet20-12fca82f.th", "resnet20", "resnet20:b"), ("pyhessian_resnet20_net.pkl", "resnet20:b", "resnet20")]
    {
        let Some(file) = real(&format!("models/{name}")) else { return };
        let ended = fitted(&file, model);
        assert_eq!(ended.code, 0, "{ended:?}");
        fitted(&file, other).assert_refused(&[&format!("--model {model}")]);
    }
    for name in ["ccexam_mnist.pth", "burn_mnist.safetensors"] {
        let Some(file) = real(&format!("models/{name}")) else { return };
        basin.done(&["inspect", &file]);
    }
}
