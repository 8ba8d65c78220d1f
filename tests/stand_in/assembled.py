"""What a kernel takes of a GPU that is not here, by the assembler."""

import os
import re
import subprocess
import tempfile


def usage(assembly: str, capability: int) -> dict[str, int]:
    """Registers a thread, and bytes that it spills, as the assembler says."""
    from triton.backends.nvidia.compiler import get_ptxas, sm_arch_from_capability

    with tempfile.NamedTemporaryFile(suffix=".ptx", mode="w") as source:
        source.write(assembly)
        source.flush()
        architecture = f"--gpu-name={sm_arch_from_capability(capability)}"
        command = [get_ptxas(capability).path, "-v", architecture, source.name, "-o", os.devnull]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    registers, spills = (re.search(rf"(\d+) {what}", said) for what in ("registers", "bytes spill stores"))
    return {"registers": int(registers[1]) if registers else 0, "spills": int(spills[1]) if spills else 0}
