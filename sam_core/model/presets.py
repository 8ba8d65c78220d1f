"""The four published architectures as frozen values: the only place that states a size.

`vit_h`, `vit_l` and `vit_b` differ in the image encoder's width and depth; `vit_t` has MobileSAM's TinyViT
encoder. All of them share the prompt encoder and the mask decoder, whose sizes are `SamPreset`'s defaults.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class VitPreset:
    """Sizes of an `ImageEncoderViT`. Source: segment-anything dca509f, build_sam.py."""

    embed_dim: int
    depth: int
    num_heads: int
    global_attn_indexes: tuple[int, ...]  # these blocks attend to the whole image, the others inside windows
    img_size: int = 1024
    patch_size: int = 16
    window_size: int = 14
    mlp_ratio: float = 4.0
    out_chans: int = 256
    use_abs_pos: bool = True
    use_rel_pos: bool = True

    @property
    def grid_size(self) -> int:
        """Side of the embedding, in tokens."""
        return self.img_size // self.patch_size


@dataclass(frozen=True)
class TinyVitPreset:
    """Sizes of a `TinyViT`, one entry per stage; the first stage has only convolutions.

    Source: TinyViT-5M, as MobileSAM uses it.
    """

    img_size: int = 1024
    embed_dims: tuple[int, ...] = (64, 128, 160, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (2, 4, 5, 10)
    window_sizes: tuple[int, ...] = (7, 7, 14, 7)
    strides: tuple[int, ...] = (2, 2, 1)  # between the stages; the last keeps SAM's 64 x 64 grid
    mbconv_expand_ratio: int = 4
    mlp_ratio: int = 4
    out_chans: int = 256

    @property
    def grid_size(self) -> int:
        """Side of the embedding, in tokens: the patch embedding divides by 4, each stage by its stride."""
        size = self.img_size // 4
        for stride in self.strides:
            size = (size - 1) // stride + 1
        return size


@dataclass(frozen=True)
class SamPreset:
    """Sizes of a whole `Sam`."""

    encoder: VitPreset | TinyVitPreset
    mask_in_chans: int = 16
    decoder_depth: int = 2
    decoder_num_heads: int = 8
    decoder_mlp_dim: int = 2048
    num_multimask_outputs: int = 3
    iou_head_depth: int = 3
    iou_head_hidden_dim: int = 256


PRESETS = {
    "vit_h": SamPreset(VitPreset(1280, depth=32, num_heads=16, global_attn_indexes=(7, 15, 23, 31))),
    "vit_l": SamPreset(VitPreset(1024, depth=24, num_heads=16, global_attn_indexes=(5, 11, 17, 23))),
    "vit_b": SamPreset(VitPreset(768, depth=12, num_heads=12, global_attn_indexes=(2, 5, 8, 11))),
    "vit_t": SamPreset(TinyVitPreset()),
}
