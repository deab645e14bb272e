//! What `basin train --observe` leaves in the record.

use crate::basin::{Basin, MODEL, field};

const OBSERVE: &str = "gradient,stride,loss-stride,distance,radius-estimate,radius,noise-scale,lambda-max,batch-sharpness,alignment,keskar";

#[test]
fn everything_stands_in_each_epochs_record_on_any_number_of_threads() {
    let basin = Basin::new();
    let run = |threads: &str| {
        let train =
            ["train", "--model", MODEL, "--samples", "100", "--batch-size", "50", "--epochs", "2", "--json", "-q"];
        let more = ["--observe", OBSERVE, "--observe-every", "2", "--out", threads, "--threads", threads];
        field(&basin.done(&[&train[..], &more].concat()).json(), "result.epochs").clone()
    };
    let epochs = run("1");
    assert_eq!(run("2"), epochs);
    let names = |epoch: usize| {
        let observed = epochs[epoch]["observed"].as_object().unwrap();
        observed
            .keys()
            .map(|name| name.split('.').next().unwrap().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    let cheap = [
        "distance",
        "gradient",
        "loss_stride",
        "loss_stride_over_rate",
        "radius_estimate",
        "stride",
        "stride_over_rate",
    ];
    assert_eq!(names(0).into_iter().collect::<Vec<_>>(), cheap);
    for dear in ["alignment", "batch_sharpness", "keskar", "lambda_max", "noise_scale", "radius", "two_over_rate"] {
        assert!(names(1).contains(dear), "{dear} of {:?}", names(1));
    }
}

#[test]
fn a_study_file_asks_for_it_too() {
    let basin = Basin::new();
    basin.write(
        "study.toml",
        "batch_sizes = [50, 100]\nseeds = 1\nalong = 1\n[training]\nmodel = \"mlp:64-8-10:relu\"\nsamples = 100\nepochs = 1\n\
         observe = [\"lambda-max\", \"stride\"]\nlabel_noise = 0.25\n[training.discard]\nshare = 0.5\n[keskar]\ndraws = 1\ndimension = 5\n",
    );
    basin.run(&["study", "study.toml", "--out", "study", "-q"]);
    let record: serde_json::Value = serde_json::from_slice(&basin.read("study/records/training-b50-s0.json")).unwrap();
    let observed = &record["result"]["epochs"][0]["observed"];
    let page = String::from_utf8(basin.read("study/index.html")).unwrap();
    assert!(
        page.contains("label noise") && page.contains("the share 0.5 of each batch"),
        "the page says what was done"
    );
    assert!(observed["lambda_max"].as_f64() > Some(0.0) && observed["stride"].as_f64() > Some(0.0), "{observed}");
}

/// 99 % of Student's t distribution with the four degrees of freedom that six points leave a line.
const STUDENT: f64 = 4.604;

/// Targets that are nearly all noise: the gradients of samples are independent, with means next to nothing.
#[test]
fn independent_gradients_fall_by_the_square_root_of_the_batch_size() {
    let basin = Basin::new();
    basin.write(
        "study.toml",
        "batch_sizes = [8, 16, 32, 64, 128, 256]\nseeds = 3\nalong = 0\n[training]\nmodel = \"mlp:20-1\"\n\
         data = \"synthetic:teacher:samples=2048,features=20,noise=100\"\nepochs = 1\nobserve = [\"gradient\"]\n\
         [training.optimizer]\nname = \"sgd\"\nlearning_rate = 1e-9\n[keskar]\nsubspace = [\"full\"]\niterations = 1\n",
    );
    basin.run(&["study", "study.toml", "--out", "study", "-q"]);
    let page = basin.text("study/index.html");
    let (_, behind) = page.split_once("to the power −").unwrap();
    let mut numbers = behind.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
    let [exponent, error] = [numbers.next().unwrap(), numbers.next().unwrap()];
    assert!(error < 0.02 && (exponent - 0.5).abs() <= STUDENT * error, "−{exponent} ± {error}");
}
