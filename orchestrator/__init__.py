"""The coordinator, the aggregator and the auditor: rounds, who takes part, what a round comes to, and the command line.

In reading order:

a run             config  schema  settings  run  folder  founding  hosting
its rounds        steps (pure)  coordinator  proceedings  opening  settlement: fold  optimizer  aggregate  shards
its log           record  journal  keyring  witnessing
who trains        pool (Ray)  inprocess  remote: child  reception  invitations
what it keeps     retention  identities
what people see   listener  progress  metrics  summary  plots
holders           admittance  presence; their side is `client`
aggregators       aggregator  station  cases  words  watch  finality
audit             replay  recount  subject  withheld  findings  archive  recall  accounting  infer
over HTTP         serving: a run; service: what all share, and a witness; blockservice  wanted  sending  doorstep  turnstile
on the terminal   cli  commands
"""
