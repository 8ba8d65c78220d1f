"""SAM's ViT encoder for inference in float16, with only a few launches per block.

Products and attention are float16; the residual stream, every norm and the neck's first product are float32.
Weights are cast once. A block is: norm with the residual, product, relative positions, attention, product,
norm with the residual, product with GELU, product. GELU is the tanh form, within 5e-4 of the erf form.
Nothing waits for the device, and each call has its own scratch memory. Oracle:
`sam_core.model.image_encoder.ImageEncoderViT`.

Legend: B images, H x W tokens of a map, T = B H W, C channels, n heads, S side of a window or of the map.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sam_core.model.attention import relative_positions
from sam_core.model.image_encoder import ImageEncoderViT, ViTBlock
from sam_core.model.layers import typed_layer
from sam_core.model.triton.global_attention import global_attention, map_serves
from sam_core.model.triton.half_linear import HalfLinear
from sam_core.model.triton.half_neck import HalfNeck
from sam_core.model.triton.heads import Heads, heads_serve
from sam_core.model.triton.layer_norm import Copied, Norm, layer_norm
from sam_core.model.triton.relative_positions import global_terms, window_terms
from sam_core.model.triton.window_attention import window_attention


@dataclass(frozen=True)
class HalfBlock:
    """Weights of one block."""

    window: int  # side; 0 for attention over the whole map
    heads: Heads
    tables_2SSD: Tensor
    norm1: Norm
    qkv: HalfLinear
    proj: HalfLinear
    norm2: Norm
    lin1: HalfLinear
    lin2: HalfLinear

    @classmethod
    def of(cls, block: ViTBlock, grid: int) -> "HalfBlock":
        """The block's weights, in float16 where products read them; position tables for a grid x grid map."""
        attn, mlp = block.attn, block.mlp
        side = attn.window_size or grid
        tables = [relative_positions(side, table.float()) for table in (attn.rel_pos_h, attn.rel_pos_w)]
        return cls(
            window=attn.window_size,
            heads=Heads.by_part(attn.num_heads, attn.proj.in_features // attn.num_heads),
            tables_2SSD=torch.stack(tables).half().contiguous(),
            norm1=Norm.of(block.norm1),
            qkv=HalfLinear.of(attn.qkv),
            proj=HalfLinear.of(attn.proj),
            norm2=Norm.of(block.norm2),
            lin1=HalfLinear.of(mlp.lin1),
            lin2=HalfLinear.of(mlp.lin2),
        )

    def attend(self, qkv: Tensor, out_TC: Tensor, shape_BHW: tuple[int, int, int]) -> None:
        """Writes to `out_TC` the step between the attention's two products."""
        if self.window:
            terms = window_terms(qkv, self.tables_2SSD, shape_BHW, self.heads)
            window_attention(qkv, terms, out_TC, shape_BHW, self.window, self.heads)
        else:
            terms = global_terms(qkv, self.tables_2SSD, shape_BHW, self.heads)
            global_attention(qkv, terms, out_TC, shape_BHW, self.heads)


@dataclass(frozen=True)
class Scratch:
    """Memory that the blocks of one call reuse one after the other."""

    normal_TC: Tensor
    mixed_TC: Tensor
    qkv: Tensor  # [T + 1, 3 C]: the last row is for the windows' padding

    @classmethod
    def of(cls, T: int, C: int, device: torch.device) -> "Scratch":
        """Memory for T tokens."""
        shapes = (T, C), (T, C), (T + 1, 3 * C)
        return cls(*(torch.empty(shape, device=device, dtype=torch.float16) for shape in shapes))


class HalfVit:
    """`ImageEncoderViT` in float16: features float32 [B, O, H, W] of images float32 [B, 3, S, S].

    The images have the size of the preset. If values are too large for float16, features are not finite.
    """

    @torch.no_grad()
    def __init__(self, encoder: ImageEncoderViT) -> None:
        proj = encoder.patch_embed.proj
        self.patch = proj.kernel_size[0]
        self.grid = encoder.img_size // self.patch
        self.patch_weight = proj.weight.flatten(1).half().contiguous()
        assert proj.bias is not None  # noqa: S101  a PatchEmbed has one
        place_PC = proj.bias.float().expand(self.grid**2, -1)
        if encoder.pos_embed is not None:
            place_PC = place_PC + encoder.pos_embed.float().view(place_PC.shape)
        self.place_PC = place_PC.contiguous()
        self.blocks = [HalfBlock.of(typed_layer(block, ViTBlock), self.grid) for block in encoder.blocks]
        self.neck = HalfNeck.of(encoder.neck)

    @torch.no_grad()
    def __call__(self, images_B3SS: Tensor) -> Tensor:
        shape_BHW = images_B3SS.shape[0], self.grid, self.grid
        x_TC = self._tokens(images_B3SS)
        T, C = x_TC.shape
        scratch = Scratch.of(T, C, x_TC.device)
        y_TC: Tensor | None = None
        for block in self.blocks:
            y_TC = self._block(block, x_TC, y_TC, scratch, shape_BHW)
        return self.neck(x_TC if y_TC is None else x_TC + y_TC, shape_BHW)

    @staticmethod
    def _block(
        block: HalfBlock, x_TC: Tensor, y_TC: Tensor | None, scratch: Scratch, shape_BHW: tuple[int, int, int]
    ) -> Tensor:
        """What is still to be added to the stream x; y is the same from the block before."""
        normal_TC, mixed_TC, qkv = scratch.normal_TC, scratch.mixed_TC, scratch.qkv
        padding = Copied(block.qkv.bias_O, qkv[-1]) if block.window else None
        layer_norm(x_TC, y_TC, block.norm1, normal_TC, padding)
        block.qkv.write(normal_TC, qkv[:-1])
        block.attend(qkv, mixed_TC, shape_BHW)
        layer_norm(x_TC, block.proj(mixed_TC), block.norm2, normal_TC)
        return block.lin2(block.lin1.with_gelu(normal_TC))

    def _tokens(self, images_B3SS: Tensor) -> Tensor:
        """Tokens of the patches with their places, float32 [T, C]."""
        B, g, p = images_B3SS.shape[0], self.grid, self.patch
        patches = images_B3SS.half().view(B, 3, g, p, g, p).permute(0, 2, 4, 1, 3, 5)
        tokens = patches.reshape(B * g * g, -1) @ self.patch_weight.T
        return (tokens.view(B, g * g, -1) + self.place_PC).flatten(0, 1)


def half_vit_serves(encoder: ImageEncoderViT) -> bool:
    """Whether `HalfVit` supports this encoder's heads, position terms and map."""
    attentions = [typed_layer(block, ViTBlock).attn for block in encoder.blocks]
    grid = encoder.img_size // encoder.patch_embed.proj.kernel_size[0]
    return all(
        attn.use_rel_pos
        and heads_serve(attn.proj.in_features, attn.num_heads)
        and (attn.window_size > 0 or map_serves(grid))
        for attn in attentions
    )
