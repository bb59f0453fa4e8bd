"""A SLURM of two nodes on this machine, for whoever has none at hand: as root, with Debian's slurmctld, slurmd,
slurm-client and munge."""

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path

MUNGE_SOCKET = Path("/run/munge/munge.socket.2")
CONFIGURATION = """\
ClusterName=trial
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
SlurmctldPidFile={place}/slurmctld.pid
SlurmctldLogFile={place}/slurmctld.log
StateSaveLocation={place}/state
SlurmdPidFile={place}/%n.pid
SlurmdLogFile={place}/%n.log
SlurmdSpoolDir={place}/%n
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17001 CPUs=4 RealMemory=8000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port=17002 CPUs=4 RealMemory=8000
PartitionName=cpu Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def answers() -> bool:
    """Whether SLURM's commands are there and a node is up."""
    try:
        said = subprocess.run(["sinfo", "--noheader", "--format=%t"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return said.returncode == 0 and any(state in said.stdout for state in ("idle", "mix", "alloc"))


@contextmanager
def slurm(environment: MutableMapping[str, str]) -> Iterator[None]:
    """Uses the SLURM that answers; else one that ends with the block, which `environment` is told of.
    Raises RuntimeError where it doesn't start."""
    if answers():
        yield
        return
    with tempfile.TemporaryDirectory(prefix="slurm-") as place:
        (Path(place) / "state").mkdir()
        configuration = Path(place) / "slurm.conf"
        configuration.write_text(CONFIGURATION.format(host=socket.gethostname(), place=place))
        environment["SLURM_CONF"] = str(configuration)
        environment["MASTER_ADDR"] = "127.0.0.1"  # nobody knows n1 and n2 by name
        if not MUNGE_SOCKET.exists():
            MUNGE_SOCKET.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["chown", "munge", str(MUNGE_SOCKET.parent)], check=True)
            subprocess.run(["runuser", "-u", "munge", "--", "munged"], check=True)
        daemons = [["slurmctld", "-D"], ["slurmd", "-D", "-N", "n1"], ["slurmd", "-D", "-N", "n2"]]
        running = [subprocess.Popen(words, stderr=subprocess.DEVNULL) for words in daemons]
        try:
            for _ in range(30):
                if answers():
                    break
                time.sleep(1)
            else:
                logs = "\n".join(log.read_text()[-1000:] for log in Path(place).glob("*.log"))
                raise RuntimeError(f"SLURM doesn't start:\n{logs}")
            yield
        finally:
            for daemon in reversed(running):
                daemon.terminate()
            for daemon in running:
                daemon.wait()
