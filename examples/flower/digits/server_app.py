"""An ordinary Flower ServerApp: three rounds of whatever strategy it is given, judged on images that no client has."""

from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg, Strategy

from digits import client_app

ROUNDS = 3


def judge(number: int, arrays: ArrayRecord) -> MetricRecord:
    """What the model is worth on the test images."""
    model = client_app.network()
    model.load_state_dict(arrays.to_torch_state_dict())
    images, labels = client_app.digits()
    found = client_app.judge(model, images[: client_app.TESTS], labels[: client_app.TESTS])
    print(f"round {number}: accuracy {found['accuracy']:.4f}")
    return MetricRecord(found)


def serving(strategy: Strategy) -> ServerApp:
    """The app that runs a strategy."""
    made = ServerApp()

    @made.main()
    def main(grid: Grid, context: Context) -> None:  # noqa: ARG001  Flower's signature
        strategy.start(
            grid=grid,
            initial_arrays=ArrayRecord(client_app.network().state_dict()),
            train_config=ConfigRecord({"lr": 0.05}),
            num_rounds=ROUNDS,
            evaluate_fn=judge,
        )

    return made


app = serving(FedAvg(min_available_nodes=10))
