"""The networks that are compared with PyTorch: small or cut down, with random weights in f64, in evaluation mode."""

import timm
import torch
import torchvision.models as tv
import transformers as hf
from torch import nn


class SmallCnn(nn.Module):
    """What people write by hand: in-place relu, functional pools, dropout, a residual that is added in place."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.drop = nn.Dropout(0.25)
        self.fc1 = nn.Linear(6 * 4 * 4, 16)
        self.fc2 = nn.Linear(16, 10)

    def forward(self, x):
        x = torch.relu_(self.bn1(self.conv1(x)))
        identity = x
        x = self.conv2(x)
        x += identity
        x = nn.functional.max_pool2d(x.relu_(), 2)
        x = torch.flatten(self.drop(x), 1)
        return nn.functional.log_softmax(self.fc2(nn.functional.elu(self.fc1(x))), dim=1)


class Activations(nn.Module):
    """One of each activation, one after the other."""

    def __init__(self):
        super().__init__()
        kinds = [
            nn.ReLU(), nn.LeakyReLU(0.1), nn.ELU(), nn.SELU(), nn.CELU(0.7), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish(),
            nn.Sigmoid(), nn.Tanh(), nn.Softplus(), nn.Softplus(2.0, 1.5), nn.Softsign(), nn.LogSigmoid(), nn.Hardtanh(-0.4, 0.6),
            nn.Hardswish(), nn.Hardsigmoid(), nn.ReLU6(), nn.Tanhshrink(), nn.PReLU(), nn.PReLU(12), nn.Softmax(1),
            nn.LogSoftmax(1), nn.Softmin(1), nn.Identity(), nn.Threshold(0.1, 0.3), nn.Hardshrink(0.2), nn.Softshrink(0.2), nn.GLU(1),
        ]  # fmt: skip
        self.layers = nn.ModuleList([nn.Linear(12, 12) for _ in kinds])
        self.kinds = nn.ModuleList(kinds)
        self.out = nn.Linear(12, 5)

    def forward(self, x):
        total = 0
        for layer, kind in zip(self.layers, self.kinds):
            y = kind(layer(x))
            total = total + (y if y.shape[1] == 12 else torch.cat([y, y], 1))
        return self.out(total)


class Arithmetic(nn.Module):
    """Elementwise functions and reductions."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(10, 8)
        self.scale = nn.Parameter(torch.rand(8) + 0.5)
        self.register_buffer("shift", torch.linspace(-1, 1, 8))
        self.out = nn.Linear(8, 4)

    def forward(self, x):
        a = self.a(x)
        p = a.abs() + self.scale
        y = p.log() + p.sqrt() + p.rsqrt() + torch.sin(a) + torch.cos(a) - torch.exp(-p) + p**1.7 + a**2 + a**3 + 2**a
        y = y + p.reciprocal() + torch.erf(a) + torch.log1p(p) + torch.expm1(-p) + torch.cosh(a / 3) + torch.sinh(a / 4)
        y = y + torch.clamp(a, -0.5, 0.5) + a.clamp(min=0.1) + torch.maximum(a, self.shift) + torch.minimum(a, p * 0.3)
        y = y - a.mean(1, keepdim=True) + a.sum(-1, keepdim=True) / 8 + a.var(1, keepdim=True) + a.std(1, keepdim=True, correction=0)
        y = y + a.amax(1, keepdim=True) + a.max(1, keepdim=True).values + a.min(1, keepdim=True)[0] + torch.logsumexp(a, 1, keepdim=True)
        y = y + torch.linalg.vector_norm(a, dim=1, keepdim=True) + a.norm(dim=1, keepdim=True) + torch.cumsum(a, 1) * 0.1
        y = torch.where(a > 0.2, y, y * 0.5).masked_fill(self.shift > 0.9, 0.25) + nn.functional.normalize(a, dim=1)
        y = y + torch.rsub(a, 1.0, alpha=2.0) + torch.addcmul(a, a, p, value=0.1) + torch.lerp(a, p, 0.3) + (a - p) / (1 + p)
        return self.out(y)


class Shapes(nn.Module):
    """What moves numbers without computing with them."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.table = nn.Parameter(torch.randn(5, 4))
        self.register_buffer("places", torch.tensor([[0, 3, 1], [4, 2, 0]]), persistent=False)
        self.out = nn.Linear(34, 6)

    def forward(self, x):
        h = self.conv(x)
        b = h.shape[0]
        a, c = h.chunk(2, 1)
        parts = torch.split(h, [3, 5], 1)
        y = torch.stack([a, c], 2).permute(0, 2, 1, 3, 4).reshape(b, 8, 6, 6)
        y = y + torch.roll(h, (1, -2), (2, 3)) + h.flip(3) + h[:, torch.tensor([7, 0, 1, 2, 3, 4, 5, 6])]
        y = y + torch.cat([parts[1], parts[0]], 1) + nn.functional.pad(h, (1, 0, 0, 2))[:, :, 2:, :-1]
        y = y + nn.functional.pad(h, (1, 1, 1, 1), mode="reflect")[..., 1:-1, 2:] + nn.functional.pad(h, (2, 0, 0, 0), value=0.7)[..., :6]
        y = y + nn.functional.pixel_shuffle(nn.functional.pixel_unshuffle(h, 2), 2) + h[:, :, ::2].repeat(1, 1, 2, 1)
        y = y + nn.functional.interpolate(h[..., :3, :3], scale_factor=2) + nn.functional.interpolate(h[..., :3, :3], size=(6, 6), mode="bilinear")
        y = y + nn.functional.interpolate(h[..., :4, :4], size=(6, 6), mode="bilinear", align_corners=True) + h.index_select(2, torch.arange(5, -1, -1))
        y = y + h.gather(3, torch.zeros(b, 8, 6, 6, dtype=torch.long)) + h.transpose(2, 3).contiguous().view(b, 8, 6, 6) + h.swapaxes(2, 3)
        z = torch.zeros_like(h)
        z[:, 2:4, 1] = h[:, 2:4, 0]
        z[:, 0] += 1.5
        y = y + z + torch.tril(h) + h.unflatten(1, (2, 4)).flatten(1, 2) + torch.einsum("bchw,cd->bdhw", h, torch.ones(8, 8, dtype=h.dtype) / 8)
        g = y.mean((2, 3))
        u = y.unbind(1)[3].narrow(1, 0, 2).flatten(1)
        t = self.table[self.places].sum((0, 1)).expand(b, -1)
        m = torch.einsum("bij,bkj->bik", y[:, 0], y[:, 1]).diagonal(dim1=1, dim2=2)
        w = torch.bmm(y[:, 0], y[:, 1]).select(1, 0)[:, 2:] @ torch.ones(4, 2, dtype=h.dtype)
        return self.out(torch.cat([g, u, t, m, w, x.new_ones(b, 2)], -1))


class Convolutions(nn.Module):
    """Convolutions, pools and normalisations of all kinds."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(2, 8, 3, stride=2, padding=1, padding_mode="reflect")
        self.b = nn.Conv2d(8, 8, 3, padding="same", dilation=2, groups=4)
        self.c = nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.d = nn.Conv1d(6, 4, 3, padding=1)
        self.e = nn.ConvTranspose1d(4, 4, 2, stride=2)
        self.norms = nn.ModuleList([nn.GroupNorm(2, 6), nn.InstanceNorm2d(6, affine=True), nn.InstanceNorm2d(6), nn.LayerNorm([6, 8, 8]),
                                    nn.BatchNorm2d(6, affine=False), nn.LocalResponseNorm(3)])  # fmt: skip
        self.bn = nn.BatchNorm1d(4)
        self.rms = nn.RMSNorm(16)
        self.out = nn.Linear(16, 3)

    def forward(self, x):
        h = self.c(torch.tanh(self.b(torch.tanh(self.a(x)))))
        y = sum(norm(h) for norm in self.norms)
        y = y + nn.functional.interpolate(nn.functional.max_pool2d(y, 3, 2, 1), size=8) + nn.functional.avg_pool2d(y, 3, 1, 1)
        y = y + nn.functional.avg_pool2d(y, 2, 1, 1, count_include_pad=False)[..., 1:, 1:]
        y = y + nn.functional.adaptive_avg_pool2d(y, (3, 5)).mean((2, 3), keepdim=True) + nn.functional.adaptive_max_pool2d(y, 1)
        y = torch.tanh(y).flatten(2)
        y = self.e(self.bn(self.d(nn.functional.max_pool1d(y, 2) + nn.functional.avg_pool1d(y, 2))))
        y = nn.functional.adaptive_avg_pool1d(y, 16)
        return self.out(self.rms(y)).mean(1)


class Recurrent(nn.Module):
    """A bidirectional GRU and a two-layer LSTM."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 6, padding_idx=0)
        self.gru = nn.GRU(6, 5, bidirectional=True, batch_first=True)
        self.lstm = nn.LSTM(10, 4, num_layers=2, batch_first=True)
        self.rnn = nn.RNN(4, 4, batch_first=True)
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        y, _ = self.lstm(self.gru(self.embedding(x))[0])
        return self.out(self.rnn(y)[0][:, -1])


class Transformer(nn.Module):
    """PyTorch's own encoder layers with a padding mask."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(13, 8)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, activation="gelu"), 2)
        self.out = nn.Linear(8, 13)

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=torch.float64)
        return self.out(self.encoder(self.embedding(x), mask=mask, is_causal=True))


class TiedModel(nn.Module):
    """Tied weights, a transposed view of a weight, an unused layer, a parameter without gradient."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 6)
        self.head = nn.Linear(6, 9, bias=False)
        self.head.weight = self.embedding.weight
        self.middle = nn.Linear(6, 6)
        self.middle.weight = nn.Parameter(torch.randn(6, 6).t())
        self.unused = nn.Linear(3, 3)
        self.frozen = nn.Parameter(torch.randn(6), requires_grad=False)

    def forward(self, x):
        return self.head(torch.tanh(self.middle(self.embedding(x))) * self.frozen)


def swin_v2():
    """Sizes that need no padding: at a norm of zeros PyTorch's second derivative is not a number."""
    kind = tv.swin_transformer
    settings = {"block": kind.SwinTransformerBlockV2, "downsample_layer": kind.PatchMergingV2, "num_classes": 7}
    return tv.SwinTransformer([4, 4], 16, [2, 2], [2, 4], [4, 4], **settings)


def image(*shape):
    return torch.randn(3, *shape, dtype=torch.float64)


def tokens(vocabulary, length=7, low=1):
    return torch.randint(low, vocabulary, (3, length))


def masked(vocabulary, length=7):
    """Tokens of which two samples end early."""
    mask = torch.ones(3, length, dtype=torch.long)
    mask[1, 5:] = 0
    mask[2, 4:] = 0
    return {"input_ids": tokens(vocabulary, length), "attention_mask": mask}


def causal(kind, config):
    return lambda: (kind(config), {"input_ids": tokens(23)})


TINY = {"vocab_size": 23, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24, "max_position_embeddings": 32}

SMALL = {
    "mlp": lambda: (nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 4)), (image(3, 4),)),
    "small-cnn": lambda: (SmallCnn(), (image(1, 8, 8),)),
    "activations": lambda: (Activations(), (image(12),)),
    "arithmetic": lambda: (Arithmetic(), (image(10),)),
    "shapes": lambda: (Shapes(), (image(3, 6, 6),)),
    "convolutions": lambda: (Convolutions(), (image(2, 8, 8),)),
    "recurrent": lambda: (Recurrent(), (tokens(11, 4, 0),)),
    "transformer": lambda: (Transformer(), (tokens(13, 5),)),
    "tied": lambda: (TiedModel(), (tokens(9, 4),)),
    "hf-gpt2": causal(hf.GPT2LMHeadModel, hf.GPT2Config(vocab_size=23, n_embd=8, n_layer=2, n_head=2, n_positions=16)),
    "hf-llama": causal(hf.LlamaForCausalLM, hf.LlamaConfig(**{**TINY, "num_hidden_layers": 1}, num_key_value_heads=2)),
    "hf-bert": lambda: (hf.BertForSequenceClassification(hf.BertConfig(**{**TINY, "num_hidden_layers": 1}, num_labels=3)), masked(23)),
}

LARGE = {
    "tv-resnet18": lambda: (tv.resnet18(num_classes=7), (image(3, 40, 40),)),
    "tv-resnet50": lambda: (tv.resnet50(num_classes=7), (image(3, 40, 40),)),
    "tv-vgg11-bn": lambda: (tv.vgg11_bn(num_classes=7), (image(3, 32, 32),)),
    "tv-alexnet": lambda: (tv.alexnet(num_classes=7), (image(3, 64, 64),)),
    "tv-densenet121": lambda: (tv.densenet121(num_classes=7), (image(3, 32, 32),)),
    "tv-inception": lambda: (tv.inception_v3(num_classes=7, aux_logits=True, init_weights=False), (image(3, 75, 75),)),
    "tv-googlenet": lambda: (tv.googlenet(num_classes=7, aux_logits=False, init_weights=False), (image(3, 40, 40),)),
    "tv-mobilenet-v2": lambda: (tv.mobilenet_v2(num_classes=7), (image(3, 32, 32),)),
    "tv-mobilenet-v3": lambda: (tv.mobilenet_v3_small(num_classes=7), (image(3, 32, 32),)),
    "tv-efficientnet": lambda: (tv.efficientnet_b0(num_classes=7), (image(3, 32, 32),)),
    "tv-convnext": lambda: (tv.convnext_tiny(num_classes=7), (image(3, 32, 32),)),
    "tv-shufflenet": lambda: (tv.shufflenet_v2_x0_5(num_classes=7), (image(3, 32, 32),)),
    "tv-squeezenet": lambda: (tv.squeezenet1_1(num_classes=7), (image(3, 48, 48),)),
    "tv-regnet": lambda: (tv.regnet_y_400mf(num_classes=7), (image(3, 32, 32),)),
    "tv-mnasnet": lambda: (tv.mnasnet0_5(num_classes=7), (image(3, 32, 32),)),
    "tv-vit": lambda: (tv.VisionTransformer(32, 8, 2, 4, 32, 48, num_classes=7), (image(3, 32, 32),)),
    "tv-swin": lambda: (tv.SwinTransformer([2, 2], 16, [2, 2], [2, 4], [4, 4], num_classes=7), (image(3, 30, 30),)),
    "tv-swin-v2": lambda: (swin_v2(), (image(3, 32, 32),)),
    "tv-maxvit": lambda: (tv.MaxVit((64, 64), 16, 2, [16, 32], [1, 1], 8, 0.0, num_classes=7), (image(3, 64, 64),)),
    "timm-vit": lambda: (timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2, num_classes=7), (image(3, 32, 32),)),
    "timm-deit-distilled": lambda: (timm.create_model("deit_tiny_distilled_patch16_224", img_size=32, depth=2, num_classes=7), (image(3, 32, 32),)),
    "timm-swin": lambda: (timm.create_model("swin_tiny_patch4_window7_224", img_size=56, depths=(2, 2), num_heads=(2, 4), embed_dim=16, num_classes=7), (image(3, 56, 56),)),
    "timm-convnext": lambda: (timm.create_model("convnext_atto", num_classes=7), (image(3, 64, 64),)),
    "timm-convnext-v2": lambda: (timm.create_model("convnextv2_atto", num_classes=7), (image(3, 64, 64),)),
    "timm-mixer": lambda: (timm.create_model("mixer_s32_224", img_size=64, num_classes=7), (image(3, 64, 64),)),
    "timm-efficientnet-v2": lambda: (timm.create_model("tf_efficientnetv2_b0", num_classes=7), (image(3, 64, 64),)),
    "timm-mobilenet-v4": lambda: (timm.create_model("mobilenetv4_conv_small", num_classes=7), (image(3, 64, 64),)),
    "timm-resnetv2": lambda: (timm.create_model("resnetv2_50", num_classes=7), (image(3, 64, 64),)),
    "timm-eva": lambda: (timm.create_model("eva02_tiny_patch14_224", img_size=56, depth=2, num_classes=7), (image(3, 56, 56),)),
    "timm-beit": lambda: (timm.create_model("beit_base_patch16_224", img_size=32, depth=1, num_classes=7), (image(3, 32, 32),)),
    "hf-gpt2-masked": lambda: (hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=23, n_embd=8, n_layer=2, n_head=2, n_positions=16)), masked(23)),
    "hf-bert-mlm": lambda: (hf.BertForMaskedLM(hf.BertConfig(**TINY)), masked(23)),
    "hf-distilbert": lambda: (hf.DistilBertForSequenceClassification(hf.DistilBertConfig(vocab_size=23, dim=16, n_layers=2, n_heads=4, hidden_dim=24, num_labels=3)), masked(23)),
    "hf-roberta": lambda: (hf.RobertaForSequenceClassification(hf.RobertaConfig(**TINY, num_labels=3, pad_token_id=1)), masked(23)),
    "hf-pythia": causal(hf.GPTNeoXForCausalLM, hf.GPTNeoXConfig(**TINY)),
    "hf-qwen2": causal(hf.Qwen2ForCausalLM, hf.Qwen2Config(**TINY, num_key_value_heads=2)),
    "hf-qwen3": causal(hf.Qwen3ForCausalLM, hf.Qwen3Config(**TINY, num_key_value_heads=2, head_dim=4)),
    "hf-llama-masked": lambda: (hf.LlamaForCausalLM(hf.LlamaConfig(**TINY, num_key_value_heads=2)), masked(23)),
    "hf-mistral": causal(hf.MistralForCausalLM, hf.MistralConfig(**TINY, num_key_value_heads=2, sliding_window=4)),
    "hf-vit": lambda: (hf.ViTForImageClassification(hf.ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24, image_size=16, patch_size=4, num_labels=3)), {"pixel_values": image(3, 16, 16)}),
    "hf-swin": lambda: (hf.SwinForImageClassification(hf.SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=4, num_labels=3)), {"pixel_values": image(3, 32, 32)}),
    "hf-convnext": lambda: (hf.ConvNextForImageClassification(hf.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, num_labels=3)), {"pixel_values": image(3, 32, 32)}),
    "hf-resnet": lambda: (hf.ResNetForImageClassification(hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=3)), {"pixel_values": image(3, 32, 32)}),
}  # fmt: skip

# Exported for so many samples, as without `dynamic_shapes`, and yet computed on others.
STATIC = {
    "mlp-of-one": ("mlp", 1),
    "small-cnn-of-one": ("small-cnn", 1),
    "transformer-of-three": ("transformer", 3),
    "recurrent-of-three": ("recurrent", 3),
    "hf-gpt2-of-one": ("hf-gpt2", 1),
    "hf-bert-of-three": ("hf-bert", 3),
    "tv-vit-of-three": ("tv-vit", 3),
    "tv-swin-of-three": ("tv-swin", 3),
    "shapes-of-three": ("shapes", 3),
}
