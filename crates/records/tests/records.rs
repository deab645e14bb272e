//! Records as JSON: what is written is a contract, what is read may be anything.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;

use basin_records::batch_hessian::{self, Adam, Check, Descent, Divergence, Draw, Empirical, Noise, Spread, Theory};
use basin_records::comparison::{Correlation, Row, Scale};
use basin_records::connection::{self, Profile, Shape};
use basin_records::keskar::{Columns, Measurement, Subspace};
use basin_records::line::Endpoint;
use basin_records::profile::Along;
use basin_records::sharpness::{self, Measure};
use basin_records::spectrum::{Density, Eigenvalue, End, Estimate, Matrix};
use basin_records::study::{Run, Setting, Variant};
use basin_records::training::{Epoch, Settings};
use basin_records::trajectory::Iterate;
use basin_records::{
    Alignment, BatchHessian, Checkpoint, Comparison, Connection, Data, Error, Keskar, Line, Outcome, Place, Problem,
    Provenance, RatioMap, Record, Sharpness, Spectrum, Study, Surface, Training, Trajectory, lines, surface,
};
use tempfile::tempdir;

fn checkpoint() -> Checkpoint {
    Checkpoint { path: "final.safetensors".into(), blake3: Some("ab12".into()), parameters: 17226 }
}

fn provenance() -> Provenance {
    Provenance {
        created: "2026-11-21T23:08:37Z".into(),
        basin: "0.1.0".into(),
        checkpoint: Some(checkpoint()),
        data: Some(Data { spec: "digits".into(), split: "train".into(), samples: 1437, blake3: Some("cd34".into()) }),
        loss: Some("cross-entropy".into()),
        batch_size: Some(16),
        device: Some("cpu".into()),
        dtype: Some("f32".into()),
        seed: Some(u64::MAX),
        seconds: Some(3.1),
        products: Some(64),
        gradient_equivalents: Some(131.0),
        ..Provenance::default()
    }
}

fn bare() -> Provenance {
    Provenance { created: "2026-11-21T23:08:37Z".into(), basin: "0.1.0".into(), ..Provenance::default() }
}

fn keskar() -> Outcome {
    let measurement = |draw, value| Measurement {
        epsilon: 1e-3,
        subspace: Subspace::Manifold,
        dimension: 100,
        columns: Some(Columns::Gaussian),
        draw,
        value,
        loss: 0.25,
        max_loss: f64::INFINITY,
        iterations: 10,
        evaluations: 12,
        reason: "iterations".into(),
    };
    Outcome::Keskar(Keskar::new(vec![measurement(0, 1.0), measurement(1, 3.0)]))
}

fn spectrum() -> Outcome {
    let bottom = Eigenvalue { value: -0.5, residual: 0.1, converged: false, end: End::Bottom };
    let top = Eigenvalue { value: 12.5, residual: 1e-4, converged: true, end: End::Top };
    Outcome::Spectrum(Spectrum {
        trace: Some(Estimate {
            value: 20.0,
            stderr: None,
            method: None,
            products: Some(60),
            converged: Some(false),
            reason: None,
        }),
        density: Some(Box::new(Density {
            nodes: vec![1.0],
            weights: vec![1.0],
            grid: vec![0.0],
            values: vec![f64::NAN],
            stderr: vec![0.5],
            sigma: 0.1,
            atoms: 1,
            probes: 2,
            steps: 3,
        })),
        ..Spectrum::new(Matrix::EmpiricalFisher, vec![bottom, top])
    })
}

fn line() -> Outcome {
    let end = |batch_size| Endpoint { checkpoint: checkpoint(), batch_size, training_seed: None };
    Outcome::Line(Line {
        from: end(Some(16)),
        to: end(None),
        distance: 2.5,
        path: Default::default(),
        alignment: Some(Alignment { sweeps: 3, distance_before: 2.5, distance_after: f64::INFINITY }),
        barriers: Vec::new(),
        batch_norm: None,
        alpha: vec![-1.0, 2.0],
        train_loss: vec![f64::NAN, f64::NEG_INFINITY],
        train_accuracy: vec![0.5, 1.0],
        test_loss: vec![],
        test_accuracy: vec![],
    })
}

fn connection() -> Outcome {
    let end = || Endpoint { checkpoint: checkpoint(), batch_size: Some(16), training_seed: None };
    let profile = |train_loss: Vec<f64>| Profile { train_loss, train_accuracy: vec![0.5; 3], ..Profile::default() };
    let t = vec![0.0, 0.5, 1.0];
    Outcome::Connection(Box::new(Connection {
        from: end(),
        to: end(),
        distance: 2.5,
        alignment: None,
        shape: Shape::Chain,
        bends: 2,
        training: connection::Training {
            epochs: 3,
            batch_size: 8,
            learning_rate: 0.25,
            momentum: 0.5,
            weight_decay: 0.0,
        },
        file: Some("bends.safetensors".into()),
        batch_norm: None,
        arclength: vec![0.0, 1.5, 3.0],
        curve: profile(vec![1.0, 0.5, 1.0]).with_barriers(&t),
        line: profile(vec![1.0, f64::NAN, 1.0]),
        t,
    }))
}

fn surface() -> Outcome {
    let axis = |name: &str, coordinates: Vec<f64>| surface::Axis {
        name: name.into(),
        coordinates,
        norm: 2.5,
        normalized: true,
        curvature: 0.125,
        curvature_difference: None,
        eigenvalue: None,
    };
    Outcome::Surface(Box::new(Surface {
        x: axis("random", vec![-1.0, 0.0, 1.0]),
        y: surface::Axis { curvature_difference: Some(0.25), ..axis("random", vec![0.0, 0.5]) },
        cosine: -0.01,
        normalization: surface::Normalization::Filter,
        ignored: vec!["fc1.bias".into()],
        directions: None,
        batch_norm: None,
        train_loss: vec![vec![1.0, f64::NAN, 3.0], vec![]],
        train_accuracy: vec![],
        test_loss: vec![],
        test_accuracy: vec![],
        marks: vec![surface::Mark { name: "a".into(), x: 0.0, y: 0.0, distance: 0.0 }],
        not_finite: 1,
        shard: Some("1/2".into()),
    }))
}

fn training() -> Outcome {
    Outcome::Training(Training {
        settings: Settings {
            model: "f1".into(),
            optimizer: "sgd".into(),
            learning_rate: 0.1,
            batch_size: 16,
            epochs: 1,
            seed: 0,
            others: BTreeMap::from([("momentum".into(), 0.9.into())]),
        },
        epochs: vec![Epoch {
            epoch: 1,
            step: 90,
            train_loss: f64::INFINITY,
            train_accuracy: None,
            test_loss: Some(f64::NAN),
            test_accuracy: Some(0.1),
            learning_rate: 0.1,
            batch_size: 16,
            observed: BTreeMap::from([("gradient_norm".into(), f64::NAN)]),
        }],
        reason: "diverged".into(),
    })
}

fn sharpness() -> Outcome {
    let worst = sharpness::Measurement {
        rho: Some(0.5),
        spread: Some(0.25),
        lower_bound: true,
        iterations: Some(50),
        starts: Some(3),
        ..sharpness::Measurement::new(Measure::AdaptiveWorstL2, 1.5)
    };
    let largest = sharpness::Measurement {
        residual: Some(f64::INFINITY),
        converged: false,
        reason: "the basis reached its limit".into(),
        ..sharpness::Measurement::new(Measure::LambdaMax, f64::NAN)
    };
    Outcome::Sharpness(Sharpness { measurements: vec![worst, largest] })
}

fn correlated() -> Outcome {
    let measured = vec![sharpness::Measurement::new(Measure::FisherRao, 2.0)];
    let rows = vec![Row { file: "a".into(), sharpness: measured, ..Row::default() }];
    let mut comparison = Comparison::new(rows);
    comparison.columns.drain(..10);
    comparison.correlations.push(Correlation {
        measure: "fisher-rao".into(),
        scale: Scale::ScaleInvariant,
        checkpoints: 3,
        tau: 1.0,
        stderr: None,
        p_value: 0.5,
        exact: true,
    });
    Outcome::Comparison(comparison)
}

fn comparison() -> Outcome {
    let mut comparison =
        Comparison::new(vec![Row { file: "a.safetensors".into(), loss: Some(f64::NAN), ..Row::default() }]);
    comparison.columns.truncate(1);
    Outcome::Comparison(comparison)
}

fn batch_hessian() -> Outcome {
    let estimate =
        |value| Estimate { value, stderr: Some(0.5), method: None, products: None, converged: None, reason: None };
    let top = Eigenvalue { value: 4.0, residual: 0.25, converged: true, end: End::Top };
    let draw = Draw { draw: 0, eigenvalues: vec![top], preconditioned: Some(top), overlap: 0.5, products: 9 };
    let run = batch_hessian::Run {
        optimizer: Descent::Sgd,
        multiple: 2.0,
        learning_rate: 1.0,
        run: 0,
        steps: 10,
        loss: f64::INFINITY,
        diverged: true,
    };
    let row = batch_hessian::Row {
        batch_size: 8,
        draws: 1,
        lambda_max: Spread::of(&[4.0]),
        predicted_lambda_max: 5.0,
        predicted_lambda_max_stderr: Some(0.5),
        overlap: Spread::of(&[0.5]),
        predicted_overlap: 0.75,
        max_learning_rate_sgd: Some(0.5),
        max_learning_rate_adam: Some(1.0),
        preconditioned_lambda_max: Some(Spread::exact(4.0)),
        max_learning_rate_adam_measured: Some(9.5),
        max_learning_rate_mean_square: Some(estimate(0.25)),
        divergence: vec![Divergence { optimizer: Descent::Sgd, stable: None, diverging: Some(1.0) }],
        runs: vec![run],
        values: vec![draw],
        ..batch_hessian::Row::default()
    };
    Outcome::BatchHessian(Box::new(BatchHessian {
        matrix: Matrix::Ggn,
        theory: Theory::MarchenkoPastur,
        samples: 64,
        empirical: Empirical {
            lambda_max: 2.0,
            lambda_min: None,
            eigenvalues: vec![top],
            trace: Some(estimate(3.0)),
            squared_frobenius: Some(estimate(5.0)),
            density: None,
        },
        noise: Noise {
            total: estimate(0.125),
            curvature_along_top: None,
            product_along_top: None,
            batch_size: 8,
            groups: 64,
            probes: 7,
        },
        momentum: 0.9,
        crossover: Some(20.0),
        adam: Some(Adam { beta1: 0.9, epsilon: 1e-8, groups: 64 }),
        check: Some(Check { steps: 10, runs: 1, loss: 0.5, level: 2.0 }),
        shard: Some("1/2".into()),
        rows: vec![row],
    }))
}

fn study() -> Outcome {
    Outcome::Study(Study {
        published: vec!["Sharper.".into()],
        held_equal: vec![Setting { name: "epochs".into(), value: "30".into() }],
        variants: vec![Variant { name: "half".into(), value: Some(0.5), settings: Vec::new() }],
        swept: Some("discard.share".into()),
        runs: vec![Run {
            variant: Some("half".into()),
            batch_size: 16,
            seed: 0,
            checkpoint: "a.safetensors".into(),
            directory: "runs/a".into(),
        }],
        records: vec!["records/a.json".into()],
        ..Study::default()
    })
}

fn loss_surface() -> basin_records::Surface {
    match surface() {
        Outcome::Surface(surface) => *surface,
        other => panic!("{other:?}"),
    }
}

fn along_directions() -> Outcome {
    let along = Along {
        name: "random".into(),
        norm: 2.5,
        normalized: true,
        curvature: 0.125,
        curvature_difference: None,
        eigenvalue: None,
        train_loss: vec![1.0, f64::INFINITY],
        train_accuracy: vec![0.5, 0.25],
        test_loss: Vec::new(),
        test_accuracy: Vec::new(),
    };
    Outcome::Profile(basin_records::Profile {
        coordinates: vec![0.0, 1.0],
        normalization: surface::Normalization::Filter,
        ignored: Vec::new(),
        batch_norm: None,
        directions: vec![along],
    })
}

fn ratio_map() -> Outcome {
    Outcome::RatioMap(Box::new(RatioMap {
        lambda_max: vec![vec![4.0, f64::NAN]],
        lambda_max_residual: vec![vec![0.5, f64::NAN]],
        lambda_min: vec![vec![-1.0, f64::NAN]],
        lambda_min_residual: vec![vec![0.25, f64::NAN]],
        ratio: vec![vec![-0.25, f64::NAN]],
        tolerance: 1e-3,
        not_converged: 1,
        surface: loss_surface(),
    }))
}

fn trajectory() -> Outcome {
    let iterate = Iterate {
        checkpoint: Checkpoint { path: "a.safetensors".into(), blake3: None, parameters: 3 },
        epoch: Some(1),
        step: None,
        x: -1.5,
        y: 0.5,
        distance: 0.25,
        train_loss: 2.0,
        projected_train_loss: f64::NAN,
        train_accuracy: None,
        test_loss: Some(3.0),
        test_accuracy: None,
    };
    Outcome::Trajectory(Box::new(Trajectory {
        explained_variance: vec![0.75, 0.25],
        iterates: vec![iterate],
        surface: loss_surface(),
    }))
}

fn unknown() -> Outcome {
    Outcome::Other { kind: "orbit".into(), result: serde_json::json!({"loss": [[1.0, "NaN"]]}) }
}

/// The JSON is a contract with scripts: change it only together with the schema version.
#[test]
fn the_json_of_every_kind_is_as_promised() {
    let golden = [
        (
            Record::new(provenance(), keskar()),
            r#"{"schema":"basin/1","kind":"keskar","created":"2026-11-21T23:08:37Z","basin":"0.1.0","checkpoint":{"path":"final.safetensors","blake3":"ab12","parameters":17226},"data":{"spec":"digits","split":"train","samples":1437,"blake3":"cd34"},"loss":"cross-entropy","batch_size":16,"device":"cpu","dtype":"f32","seed":18446744073709551615,"seconds":3.1,"products":64,"gradient_equivalents":131.0,"result":{"measurements":[{"epsilon":0.001,"subspace":"manifold","dimension":100,"columns":"gaussian","draw":0,"value":1.0,"loss":0.25,"max_loss":"Infinity","iterations":10,"evaluations":12,"reason":"iterations"},{"epsilon":0.001,"subspace":"manifold","dimension":100,"columns":"gaussian","draw":1,"value":3.0,"loss":0.25,"max_loss":"Infinity","iterations":10,"evaluations":12,"reason":"iterations"}],"summary":[{"epsilon":0.001,"subspace":"manifold","columns":"gaussian","dimension":100,"mean":2.0,"std":1.4142135623730951,"draws":2}]}}"#,
        ),
        (
            Record::new(bare(), spectrum()),
            r#"{"schema":"basin/1","kind":"spectrum","created":"2026-11-21T23:08:37Z","basin":"0.1.0","result":{"matrix":"empirical-fisher","eigenvalues":[{"value":12.5,"residual":0.0001,"converged":true,"end":"top"},{"value":-0.5,"residual":0.1,"converged":false,"end":"bottom"}],"trace":{"value":20.0,"stderr":null,"products":60,"converged":false},"density":{"nodes":[1.0],"weights":[1.0],"grid":[0.0],"values":["NaN"],"stderr":[0.5],"sigma":0.1,"atoms":1,"probes":2,"steps":3}}}"#,
        ),
        (
            Record::new(bare(), sharpness()),
            r#"{"schema":"basin/1","kind":"sharpness","created":"2026-11-21T23:08:37Z","basin":"0.1.0","result":[{"measure":"adaptive-worst-l2","rho":0.5,"norm":"l2","value":1.5,"stderr":null,"spread":0.25,"invariant":true,"lower_bound":true,"converged":true,"reason":"computed without iteration","iterations":50,"starts":3},{"measure":"lambda_max","value":"NaN","stderr":null,"residual":"Infinity","invariant":false,"converged":false,"reason":"the basis reached its limit"}]}"#,
        ),
        (
            Record::new(bare(), correlated()),
            r#"{"schema":"basin/1","kind":"comparison","created":"2026-11-21T23:08:37Z","basin":"0.1.0","result":{"columns":[{"name":"fisher-rao","scale":"scale-invariant"}],"rows":[{"file":"a","batch_size":null,"seed":null,"loss":null,"test_loss":null,"train_accuracy":null,"test_accuracy":null,"generalization_gap":null,"keskar":[],"lambda_max":null,"lambda_min":null,"parameter_norm":null,"distance":null,"sharpness":[{"measure":"fisher-rao","value":2.0,"stderr":null,"invariant":true,"converged":true,"reason":"computed without iteration"}]}],"correlations":[{"measure":"fisher-rao","scale":"scale-invariant","checkpoints":3,"tau":1.0,"stderr":null,"p_value":0.5,"exact":true}]}}"#,
        ),
        (
            Record::new(bare(), batch_hessian()),
            r#"{"schema":"basin/1","kind":"batch_hessian","created":"2026-11-21T23:08:37Z","basin":"0.1.0","result":{"matrix":"ggn","theory":"marchenko-pastur","samples":64,"empirical":{"lambda_max":2.0,"eigenvalues":[{"value":4.0,"residual":0.25,"converged":true,"end":"top"}],"trace":{"value":3.0,"stderr":0.5},"squared_frobenius":{"value":5.0,"stderr":0.5}},"noise":{"total":{"value":0.125,"stderr":0.5},"batch_size":8,"groups":64,"probes":7},"momentum":0.9,"crossover":20.0,"adam":{"beta1":0.9,"epsilon":1e-8,"groups":64},"check":{"steps":10,"runs":1,"loss":0.5,"level":2.0},"shard":"1/2","rows":[{"batch_size":8,"draws":1,"lambda_max":{"mean":4.0,"std":null,"stderr":null},"predicted_lambda_max":5.0,"predicted_lambda_max_stderr":0.5,"overlap":{"mean":0.5,"std":null,"stderr":null},"predicted_overlap":0.75,"max_learning_rate_sgd":0.5,"max_learning_rate_momentum":null,"max_learning_rate_adam":1.0,"max_learning_rate_measured":null,"preconditioned_lambda_max":{"mean":4.0,"std":0.0,"stderr":0.0},"max_learning_rate_adam_measured":9.5,"max_learning_rate_mean_square":{"value":0.25,"stderr":0.5},"max_learning_rate_mean_square_trace":null,"max_learning_rate_mean_square_directions":null,"divergence":[{"optimizer":"sgd","stable":null,"diverging":1.0}],"runs":[{"optimizer":"sgd","multiple":2.0,"learning_rate":1.0,"run":0,"steps":10,"loss":"Infinity","diverged":true}],"values":[{"draw":0,"eigenvalues":[{"value":4.0,"residual":0.25,"converged":true,"end":"top"}],"preconditioned":{"value":4.0,"residual":0.25,"converged":true,"end":"top"},"overlap":0.5,"products":9}]}]}}"#,
        ),
        (
            Record::new(bare(), line()),
            r#"{"schema":"basin/1","kind":"line","created":"2026-11-21T23:08:37Z","basin":"0.1.0","result":{"from":{"path":"final.safetensors","blake3":"ab12","parameters":17226,"batch_size":16},"to":{"path":"final.safetensors","blake3":"ab12","parameters":17226},"distance":2.5,"alignment":{"sweeps":3,"distance_before":2.5,"distance_after":"Infinity"},"alpha":[-1.0,2.0],"train_loss":["NaN","-Infinity"],"train_accuracy":[0.5,1.0]}}"#,
        ),
        (
            Record::new(bare(), training()),
            r#"{"schema":"basin/1","kind":"training","created":"2026-11-21T23:08:37Z","basin":"0.1.0","result":{"settings":{"model":"f1","optimizer":"sgd","learning_rate":0.1,"batch_size":16,"epochs":1,"seed":0,"momentum":0.9},"epochs":[{"epoch":1,"step":90,"train_loss":"Infinity","test_loss":"NaN","test_accuracy":0.1,"learning_rate":0.1,"batch_size":16,"observed":{"gradient_norm":"NaN"}}],"reason":"diverged"}}"#,
        ),
        (
            Record::new(bare(), connection()),
            r#"{"schema":"basin/1","kind":"connection","created":"2026-11-21T23:08:37Z","basin":"0.1.0","result":{"from":{"path":"final.safetensors","blake3":"ab12","parameters":17226,"batch_size":16},"to":{"path":"final.safetensors","blake3":"ab12","parameters":17226,"batch_size":16},"distance":2.5,"shape":"chain","bends":2,"training":{"epochs":3,"batch_size":8,"learning_rate":0.25,"momentum":0.5,"weight_decay":0.0},"file":"bends.safetensors","t":[0.0,0.5,1.0],"arclength":[0.0,1.5,3.0],"curve":{"train_loss":[1.0,0.5,1.0],"train_accuracy":[0.5,0.5,0.5],"barriers":[{"split":"train","height":0.0,"alpha":0.0,"instability":0.0}]},"line":{"train_loss":[1.0,"NaN",1.0],"train_accuracy":[0.5,0.5,0.5]}}}"#,
        ),
        (
            Record::new(bare(), surface()),
            r#"{"schema":"basin/1","kind":"surface","created":"2026-11-21T23:08:37Z","basin":"0.1.0","result":{"x":{"name":"random","coordinates":[-1.0,0.0,1.0],"norm":2.5,"normalized":true,"curvature":0.125},"y":{"name":"random","coordinates":[0.0,0.5],"norm":2.5,"normalized":true,"curvature":0.125,"curvature_difference":0.25},"cosine":-0.01,"normalization":"filter","ignored":["fc1.bias"],"train_loss":[[1.0,"NaN",3.0],[]],"marks":[{"name":"a","x":0.0,"y":0.0,"distance":0.0}],"not_finite":1,"shard":"1/2"}}"#,
        ),
        (
            Record::new(bare(), comparison()),
            r#"{"schema":"basin/1","kind":"comparison","created":"2026-11-21T23:08:37Z","basin":"0.1.0","result":{"columns":[{"name":"loss","scale":"scale-invariant"}],"rows":[{"file":"a.safetensors","batch_size":null,"seed":null,"loss":"NaN","test_loss":null,"train_accuracy":null,"test_accuracy":null,"generalization_gap":null,"keskar":[],"lambda_max":null,"lambda_min":null,"parameter_norm":null,"distance":null}]}}"#,
        ),
        (
            Record::new(bare(), study()),
            r#"{"schema":"basin/1","kind":"study","created":"2026-11-21T23:08:37Z","basin":"0.1.0","result":{"published":["Sharper."],"held_equal":[{"name":"epochs","value":"30"}],"variants":[{"name":"half","value":0.5,"settings":[]}],"swept":"discard.share","runs":[{"variant":"half","batch_size":16,"seed":0,"checkpoint":"a.safetensors","directory":"runs/a"}],"records":["records/a.json"]}}"#,
        ),
        (
            Record::new(bare(), along_directions()),
            r#"{"schema":"basin/1","kind":"profile","created":"2026-11-21T23:08:37Z","basin":"0.1.0","result":{"coordinates":[0.0,1.0],"normalization":"filter","directions":[{"name":"random","norm":2.5,"normalized":true,"curvature":0.125,"train_loss":[1.0,"Infinity"],"train_accuracy":[0.5,0.25]}]}}"#,
        ),
        (
            Record::new(bare(), ratio_map()),
            r#"{"schema":"basin/1","kind":"ratio_map","created":"2026-11-21T23:08:37Z","basin":"0.1.0","result":{"lambda_max":[[4.0,"NaN"]],"lambda_max_residual":[[0.5,"NaN"]],"lambda_min":[[-1.0,"NaN"]],"lambda_min_residual":[[0.25,"NaN"]],"ratio":[[-0.25,"NaN"]],"tolerance":0.001,"not_converged":1,"surface":{"x":{"name":"random","coordinates":[-1.0,0.0,1.0],"norm":2.5,"normalized":true,"curvature":0.125},"y":{"name":"random","coordinates":[0.0,0.5],"norm":2.5,"normalized":true,"curvature":0.125,"curvature_difference":0.25},"cosine":-0.01,"normalization":"filter","ignored":["fc1.bias"],"train_loss":[[1.0,"NaN",3.0],[]],"marks":[{"name":"a","x":0.0,"y":0.0,"distance":0.0}],"not_finite":1,"shard":"1/2"}}}"#,
        ),
        (
            Record::new(bare(), trajectory()),
            r#"{"schema":"basin/1","kind":"trajectory","created":"2026-11-21T23:08:37Z","basin":"0.1.0","result":{"explained_variance":[0.75,0.25],"iterates":[{"path":"a.safetensors","parameters":3,"epoch":1,"x":-1.5,"y":0.5,"distance":0.25,"train_loss":2.0,"projected_train_loss":"NaN","test_loss":3.0}],"surface":{"x":{"name":"random","coordinates":[-1.0,0.0,1.0],"norm":2.5,"normalized":true,"curvature":0.125},"y":{"name":"random","coordinates":[0.0,0.5],"norm":2.5,"normalized":true,"curvature":0.125,"curvature_difference":0.25},"cosine":-0.01,"normalization":"filter","ignored":["fc1.bias"],"train_loss":[[1.0,"NaN",3.0],[]],"marks":[{"name":"a","x":0.0,"y":0.0,"distance":0.0}],"not_finite":1,"shard":"1/2"}}}"#,
        ),
        (
            Record::new(bare(), unknown()),
            r#"{"schema":"basin/1","kind":"orbit","created":"2026-11-21T23:08:37Z","basin":"0.1.0","result":{"loss":[[1.0,"NaN"]]}}"#,
        ),
    ];
    for (record, json) in golden {
        assert_eq!(record.to_json_line().unwrap(), json);
        let back = Record::from_json(json.as_bytes()).unwrap();
        // By their text, for NaN differs from itself.
        assert_eq!(format!("{back:?}"), format!("{record:?}"));
        assert_eq!(serde_json::from_str::<Record>(json).unwrap().to_json_line().unwrap(), json);
    }
}

#[test]
fn every_bit_of_a_float_comes_back() {
    let mut seconds = 1.0f64;
    for _ in 0..2000 {
        seconds = f64::from_bits(seconds.to_bits().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        if !seconds.is_finite() {
            continue;
        }
        let record = Record::new(Provenance { seconds: Some(seconds), ..bare() }, study());
        let back = Record::from_json(record.to_json_line().unwrap().as_bytes()).unwrap();
        assert_eq!(back.provenance.seconds.map(f64::to_bits), Some(seconds.to_bits()));
    }
}

#[test]
fn a_written_record_is_read_back_and_leaves_no_temporary_file() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("study.json");
    let record = Record::new(provenance(), study());
    fs::write(&path, "old").unwrap();
    record.write(&path).unwrap();
    assert_eq!(Record::read(&path).unwrap(), record);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    assert!(matches!(record.write(&directory.path().join("no/such.json")), Err(Error::Write { .. })));
}

#[test]
fn a_torn_last_line_is_ignored_and_the_next_append_removes_it() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("study.jsonl");
    let record = Record::new(provenance(), study());
    record.append_line(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    for torn in 1..whole.len() - 1 {
        let mut bytes = whole.clone();
        bytes.extend_from_slice(&whole[..torn]);
        fs::write(&path, bytes).unwrap();
        assert_eq!(Record::read_lines(&path).unwrap().len(), 1, "torn after {torn} bytes");
    }
    record.append_line(&path).unwrap();
    assert_eq!(Record::read_lines(&path).unwrap(), [record.clone(), record.clone()]);

    // Whole but for its line end: the line counts, before and after the next one is written.
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(whole.trim_ascii_end()).unwrap();
    assert_eq!(Record::read_lines(&path).unwrap().len(), 3);
    record.append_line(&path).unwrap();
    assert_eq!(Record::read_lines(&path).unwrap().len(), 4);
}

#[test]
fn a_damaged_line_before_the_last_is_an_error_that_names_it() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("history.jsonl");
    fs::write(&path, "1\n\n{\"a\n3\n").unwrap();
    let error = lines::read::<u64>(&path).unwrap_err();
    let Error::Malformed { place, problem: Problem::Json(_) } = &error else { panic!("{error}") };
    assert_eq!(*place, Place { path, line: Some(3) });
    assert!(error.hint().contains("line 3"), "{}", error.hint());
}

#[test]
fn what_is_no_record_of_this_version_is_refused_with_the_reason() {
    let refused = |json: &str| Record::from_json(json.as_bytes()).unwrap_err().to_string();
    assert!(refused("{}").contains("no `schema`"));
    assert!(refused("[1]").contains("no `schema`"));
    assert!(refused(r#"{"schema":"basin/2"}"#).contains("`basin/2` is unknown, expected `basin/1`"));
    assert!(refused(r#"{"schema":1}"#).contains("`1` is unknown"));
    assert!(refused(r#"{"schema":"basin/1"}"#).contains("kind"));
    let head = r#"{"schema":"basin/1","kind":"line","created":"","basin":"","result":"#;
    assert!(refused(&format!("{head}{{}}}}")).contains("`line` is wrong: missing field"));
    let directory = tempdir().unwrap();
    let path = directory.path().join("newer.json");
    fs::write(&path, r#"{"schema":"basin/2"}"#).unwrap();
    assert!(Record::read(&path).unwrap_err().hint().contains("version of basin"));
    let missing = Record::read(&directory.path().join("gone.json")).unwrap_err();
    assert!(missing.to_string().contains("gone.json") && missing.hint().contains("check the path"));
}

#[test]
fn no_bytes_make_a_reader_panic() {
    let whole = Record::new(provenance(), keskar()).to_json_line().unwrap().into_bytes();
    for at in 0..whole.len() {
        for byte in [0, b'"', b'{', b'9', 0xFF] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            // Either answer is right; only a panic is not.
            let _ = Record::from_json(&bytes);
        }
        assert!(Record::from_json(&whole[..at]).is_err(), "cut after {at} bytes");
    }
    assert!(Record::from_json(&[b'['; 100_000]).is_err(), "deep nesting must not exhaust the stack");
}

/// Regression: appending cut everything behind the last line end of a file that held no JSON lines, such as a checkpoint.
#[test]
fn a_file_that_holds_no_json_lines_is_not_appended_to() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("checkpoint.safetensors");
    for foreign in [&b"\x40\0\0\0\0\0\0\0{\"a\": 1}"[..], b"a note", b"{}\na note"] {
        fs::write(&path, foreign).unwrap();
        assert!(lines::require_objects(&path).is_err());
        assert!(Record::new(provenance(), study()).append_line(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), foreign);
    }
    for torn in [&b""[..], b"{}\n", b"{}\n{\"schem", b"{}\n\0\0\0"] {
        fs::write(&path, torn).unwrap();
        lines::require_objects(&path).unwrap();
    }
}

/// Regression: a kill while a file was written left its temporary file behind for good.
#[test]
fn only_leftovers_are_removed() {
    let directory = tempdir().unwrap();
    for name in [".basin-a1B2c3.tmp", "a.tmp", "last.safetensors"] {
        fs::write(directory.path().join(name), "").unwrap();
    }
    basin_records::file::remove_leftovers(directory.path()).unwrap();
    let mut left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["a.tmp", "last.safetensors"]);
}
