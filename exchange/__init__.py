"""Bytes: sealing for recipients, tensors in one byte form, content addresses and the block store."""
