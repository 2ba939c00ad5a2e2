"""The data holder: tasks, local training, privacy, policy, and the signed contribution to a round."""
