"""The data holder: tasks, local training, privacy, policy, and the signed contribution to a round.

In reading order:

what was agreed   plan (section  taskplan)  agreement  quorum  seeds  terms
what is trained   task  tasks  data  testset  training  checkpoint  momentum  hostile
what may leave    policy (clauses)  consent  environment  spending  privacy  accountant
the contribution  holder  update  outbox; worker: holders of one owner in one process
from anywhere     invitation  joining  home  participation  agent  turn  trainer  delivery
following a log   remote  tail  events  backoff  hearing  follower  view  plain
"""
