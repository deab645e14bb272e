//! Networks by torchvision's own names, as `torchvision/resnet50`: those of the zoo in torchvision's layout.

use super::ModelSpec;
use super::spec::parse_in_zoo;
use crate::{Error, Result, suggestion};

const PREFIX: &str = "torchvision/";

/// torchvision's names with those of the zoo.
const NAMES: [(&str, &str); 19] = [
    ("resnet18", "resnet18:imagenet"),
    ("resnet34", "resnet34:imagenet"),
    ("resnet50", "resnet50:imagenet"),
    ("resnet101", "resnet101:imagenet"),
    ("resnet152", "resnet152:imagenet"),
    ("vgg11", "vgg11:imagenet"),
    ("vgg11_bn", "vgg11-bn:imagenet"),
    ("vgg13", "vgg13:imagenet"),
    ("vgg13_bn", "vgg13-bn:imagenet"),
    ("vgg16", "vgg16:imagenet"),
    ("vgg16_bn", "vgg16-bn:imagenet"),
    ("vgg19", "vgg19:imagenet"),
    ("vgg19_bn", "vgg19-bn:imagenet"),
    ("alexnet", "alexnet:imagenet"),
    ("vit_b_16", "vit:patch=16,width=768,depth=12,heads=12,mlp=3072"),
    ("vit_b_32", "vit:patch=32,width=768,depth=12,heads=12,mlp=3072"),
    ("vit_l_16", "vit:patch=16,width=1024,depth=24,heads=16,mlp=4096"),
    ("vit_l_32", "vit:patch=32,width=1024,depth=24,heads=16,mlp=4096"),
    ("vit_h_14", "vit:patch=14,width=1280,depth=32,heads=16,mlp=5120"),
];

/// The network of the zoo; absent where the text is no name of torchvision.
pub(super) fn parse(text: &str) -> Option<Result<ModelSpec>> {
    let name = text.strip_prefix(PREFIX)?;
    let known = NAMES.iter().find(|(theirs, _)| *theirs == name);
    Some(match known {
        Some((_, ours)) => parse_in_zoo(ours),
        None => Err(Error::input(
            format!("torchvision's `{name}` is not in the zoo"),
            format!(
                "{}; any other network goes by `torch.export.save`, as `--model net.pt2`",
                suggestion::hint(name, &NAMES.map(|(theirs, _)| theirs))
            ),
        )),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should say where")]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_of_the_zoo() {
        for (theirs, ours) in NAMES {
            assert_eq!(format!("{PREFIX}{theirs}").parse::<ModelSpec>().unwrap().to_string(), ours);
        }
        let error = "torchvision/resnet51".parse::<ModelSpec>().unwrap_err();
        assert_eq!(error.to_string(), "torchvision's `resnet51` is not in the zoo");
        assert!(error.hint().unwrap().contains("did you mean `resnet"), "{error:?}");
    }
}
