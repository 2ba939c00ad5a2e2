"""Records: signed statements, the append-only log that orders them, and what the log says.

In reading order:

what is said      canonical  keys  dsse  fields  intoto  statements  context
what it means     membership  rounds  transfers  history  verification
the log           leaf  merkle  log; rows  nodes  prover  promises  fsck over a store, in SQLite or PostgreSQL (places)
its checkpoints   checkpoint: a note, under keys of vkey and mldsa, with cosignatures
who believes it   policy  memory  evidence  witness
as files          tiles  publication  tiled (from a source)  proof
its credit        accounts  account_statement  bookkeeping  distribution
"""
