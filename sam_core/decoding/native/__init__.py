"""The mask decoder as one fused C kernel for CPUs in float32: the same masks as plain torch, faster.

`decoder.NativeDecoder` is the CropDecoder. C runs over the image positions; torch computes the few tokens of
a prompt. If the library was not built, `library.loaded()` is None and plain torch decodes. Decision and
figures: infra/adr/0005-native-kernel.md.
"""
