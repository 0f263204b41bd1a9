"""Trace the shipped networks again: `python -m workloads.retrace` rewrites the files beside this one.

Needs PyTorch and the packages with the trained weights.
"""

from __future__ import annotations

from pathlib import Path

from hwsim.workload import store
from workloads import mobilenet, skynet

TARGETS = {
    "resnet18.json": "workloads.resnet:resnet18",
    "resnet50.json": "workloads.resnet:resnet50",
    "bert_base.json": "workloads.bert:base",
    "bert_layer.json": "workloads.bert:layer",
    "vgg11.json": "workloads.vgg:vgg11",
    "mobilenet_v2.json": "workloads.inverted:v2",
    "mobilenet_v3_large.json": "workloads.inverted:v3_large",
    "squeezenet1_1.json": "workloads.squeezenet:v1_1",
    "shufflenet_v2_1.0.json": "workloads.shufflenet:v2_1_0",
    "unet.json": "workloads.unet:unet",
    "lstm_lm.json": "workloads.recurrent:lstm",
    "gru_lm.json": "workloads.recurrent:gru",
    "tinyllama.json": "workloads.llama:tiny",
    "vit_b16.json": "workloads.vit:b16",
    "swin_t.json": "workloads.swin:tiny",
    "mixer_b16.json": "workloads.mixer:b16",
    "gcn_cora.json": "workloads.gcn:cora",
    "ddpm_cifar10.json": "workloads.diffusion:cifar10",
    "ddpm_block.json": "workloads.diffusion:block",
    "transformer_base.json": "workloads.transformer:base",
    "gpt2_small.json": "workloads.gpt2:small",
    "minilm_l6.json": "workloads.minilm:pruned",
    "efficientnet_lite0.json": "workloads.efficientnet:lite0",
    "blazeface.json": "workloads.blazeface:short_range",
    "darts_v2_cell.json": "workloads.darts:normal_cell",
    "darts_v2_stack.json": "workloads.darts:normal_stack",
    "nasnet_a_stack.json": "workloads.nasnet:normal_stack",
    "randwire_ws32.json": "workloads.randwire:stage",
    "mnist_classifier.json": "workloads.classifiers:mnist",
    "mnist_mlp.json": "workloads.classifiers:mnist_mlp",
    "cifar10_mlp.json": "workloads.classifiers:cifar10_mlp",
    "svhn_mlp.json": "workloads.classifiers:svhn_mlp",
    **{f"{name.replace('-', '_')}.json": f"workloads.skynet:{skynet.target_name(name)}" for name in skynet.PLANS},
    **{
        f"mobilenet_v1_{width}_{resolution}.json": f"workloads.mobilenet:{mobilenet.target_name(width, resolution)}"
        for width in mobilenet.WIDTHS
        for resolution in mobilenet.RESOLUTIONS
    },
}


def main() -> None:
    """Write every file of TARGETS and the masks of the pruned network."""
    from hwsim.trace import trace_target
    from workloads import minilm

    folder = Path(__file__).parent
    for file, target in TARGETS.items():
        store.write(trace_target(target), folder / file)
    net = minilm.network()
    minilm.prune(net)
    minilm.write_masks(net, folder / minilm.MASKS)


if __name__ == "__main__":
    main()
