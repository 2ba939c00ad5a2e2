"""The execution fingerprint in each offer: what the bits of training may depend on beside the plan (docs/protocol.md P10)."""

import platform

import torch


def runtime(device: torch.device, *, together: int) -> dict[str, str]:
    """The fingerprint of this process.

    Args:
        device: what was trained on.
        together: holders that trained side by side, 1 for one alone; said where there were several.
    """
    found = {
        "capability": torch.backends.cpu.get_cpu_capability(),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()).lower(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "dtype": "float32",
        "machine": platform.machine(),
        "threads": str(torch.get_num_threads()),
        "torch": str(torch.__version__),
    }
    return found | ({"together": str(together)} if together > 1 else {})
