"""The mask decoder's two-way transformer: tokens attend to the image, and the image attends to the tokens.

Legend: B prompts, T tokens (queries), P image positions (keys), C channels.
Source: "Segment Anything" (Kirillov et al., 2023), App. A "Lightweight mask decoder".
"""

from torch import Tensor, nn
from torch.nn import functional as F

from sam_core.model.layers import TransformerMLP, typed_layer


class DecoderAttention(nn.Module):
    """Multi-head attention; its inner width is the outer one divided by `downsample_rate`."""

    def __init__(self, dim: int, num_heads: int, downsample_rate: int = 1) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(dim, dim // downsample_rate)
        self.k_proj = nn.Linear(dim, dim // downsample_rate)
        self.v_proj = nn.Linear(dim, dim // downsample_rate)
        self.out_proj = nn.Linear(dim // downsample_rate, dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        heads = F.scaled_dot_product_attention(
            self._split(self.q_proj(q)), self._split(self.k_proj(k)), self._split(self.v_proj(v))
        )
        out: Tensor = self.out_proj(heads.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2)


class TwoWayAttentionBlock(nn.Module):
    """Self-attention of the tokens, tokens to image, MLP on the tokens, image to tokens."""

    def __init__(
        self, dim: int, num_heads: int, mlp_dim: int, attention_downsample_rate: int, is_first: bool
    ) -> None:
        super().__init__()
        self.self_attn = DecoderAttention(dim, num_heads)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = DecoderAttention(dim, num_heads, attention_downsample_rate)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = TransformerMLP(dim, mlp_dim, nn.ReLU)
        self.norm3 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = DecoderAttention(dim, num_heads, attention_downsample_rate)
        self.norm4 = nn.LayerNorm(dim)
        self.is_first = is_first

    def forward(
        self, queries_BTC: Tensor, keys_BPC: Tensor, query_pe_BTC: Tensor, key_pe_BPC: Tensor
    ) -> tuple[Tensor, Tensor]:
        if self.is_first:  # the queries are their own position encoding, and there is no residual
            queries = self.norm1(self.self_attn(queries_BTC, queries_BTC, queries_BTC))
        else:
            q = queries_BTC + query_pe_BTC
            queries = self.norm1(queries_BTC + self.self_attn(q, q, queries_BTC))
        k = keys_BPC + key_pe_BPC
        queries = self.norm2(queries + self.cross_attn_token_to_image(queries + query_pe_BTC, k, keys_BPC))
        queries = self.norm3(queries + self.mlp(queries))
        keys = self.norm4(keys_BPC + self.cross_attn_image_to_token(k, queries + query_pe_BTC, queries))
        return queries, keys


class TwoWayTransformer(nn.Module):
    """Tokens [B, T, C] and image [B, P, C] after the blocks and the final attention to the image."""

    def __init__(
        self, depth: int, embedding_dim: int, num_heads: int, mlp_dim: int, attention_downsample_rate: int = 2
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayAttentionBlock(
                embedding_dim, num_heads, mlp_dim, attention_downsample_rate, is_first=index == 0
            )
            for index in range(depth)
        )
        self.final_attn_token_to_image = DecoderAttention(embedding_dim, num_heads, attention_downsample_rate)
        self.norm_final_attn = nn.LayerNorm(embedding_dim)

    def blocks(self) -> list[TwoWayAttentionBlock]:
        """The members of `layers`, by their class."""
        return [typed_layer(layer, TwoWayAttentionBlock) for layer in self.layers]

    def forward(self, image_BChw: Tensor, image_pe_BChw: Tensor, tokens_BTC: Tensor) -> tuple[Tensor, Tensor]:
        keys, key_pe = image_BChw.flatten(2).transpose(1, 2), image_pe_BChw.flatten(2).transpose(1, 2)
        queries = tokens_BTC
        for block in self.blocks():
            queries, keys = block(queries, keys, tokens_BTC, key_pe)
        attended = self.final_attn_token_to_image(queries + tokens_BTC, keys + key_pe, keys)
        return self.norm_final_attn(queries + attended), keys
