"""Who is measured, and with which configuration.

Each does the same job: tail the file from its beginning, parse each line as JSON, add six fields, buffer on disk, post
bulks to the sink.
"""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import agent

FIELDS = {
    "service.environment": "prod",
    "labels.cluster": "cluster-a",
    "labels.region": "eu-west-1",
    "labels.job_id": "job-42",
    "labels.team": "risk",
    "labels.tier": "gold",
}
"""The six constants every contender adds to every record."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a contender is to do: the file to tail, where to post, and a folder of its own to work in."""

    source: Path
    sink_port: int
    folder: Path
    status_port: int


class Contender(Protocol):
    """A program that can do the job."""

    name: str
    ready_path: str | None
    """Answers 200 on the job's status port once it is ready; None where there is no such thing."""

    def available(self) -> bool:
        """Whether it is installed."""
        ...

    def describe(self) -> str:
        """Its name and version."""
        ...

    def command(self, job: Job) -> list[str]:
        """Write its configuration into the job's folder; the command that runs it in the foreground."""
        ...

    def queue(self, job: Job) -> Path:
        """The folder that holds its queue."""
        ...


class Modeltail:
    """This project, as the documentation tells people to configure it: every setting not named here has its default."""

    name: str = "modeltail"
    ready_path: str | None = "/readyz"

    def available(self) -> bool:
        """It is what we are."""
        return True

    def describe(self) -> str:
        """Name, and the versions of what it stands on."""
        parts = ", ".join(f"{p} {version(p)}" for p in ("msgspec", "isal", "uvloop", "aiohttp"))
        said = [runtime(), "-c", "import platform; print(platform.python_version())"]
        python = subprocess.run(said, capture_output=True, text=True, check=True).stdout.strip()
        return f"modeltail on Python {python} ({parts})"

    def command(self, job: Job) -> list[str]:
        """See `Contender.command`. Its bytecode is there, as pip leaves it, also where Python is told to write none."""
        subprocess.run([runtime(), "-m", "compileall", "-q", Path(agent.__file__).parent], check=True)
        labels = ", ".join(f"{k.removeprefix('labels.')}: {v}" for k, v in FIELDS.items() if k.startswith("labels."))
        config = job.folder / "agent.yaml"
        config.write_text(f"""\
model: {{name: fraud-scorer, version: "3.2.0"}}
environment: {FIELDS["service.environment"]}
labels: {{{labels}}}
inputs: [{{type: file, paths: ["{job.source}"]}}]
queue: {{path: "{self.queue(job)}"}}
outputs: [{{type: elasticsearch, hosts: ["http://127.0.0.1:{job.sink_port}"]}}]
status: {{port: {job.status_port}}}
""")
        return [runtime(), "-m", "agent", "run", "-c", str(config)]

    def queue(self, job: Job) -> Path:
        """See `Contender.queue`."""
        return job.folder / "queue"


def runtime() -> str:
    """The Python of an environment with nothing in it but what modeltail needs, which ``make bench`` makes: on the
    distribution's interpreter, as rsyslog is the distribution's."""
    python = Path(sys.prefix) / "runtime" / "bin" / "python"
    return str(python) if python.exists() else sys.executable


class Rsyslog:
    """Debian's rsyslog, set up for throughput.

    The raw line goes through one queue on disk and is parsed behind it. The other way round (parse, then an action
    queue on disk) it would write every parsed message as text and read it again, which costs it more. Batches of 1,024
    are its best here: larger ones cost it memory and gain nothing. It waits 100 ms for a batch to fill, as modeltail
    does: without that it posts every record of a trickle on its own and takes more than twice the CPU time. Its
    Elasticsearch module cannot compress.
    """

    name: str = "rsyslog"
    ready_path: str | None = None

    def available(self) -> bool:
        """Whether the daemon and its Elasticsearch module are installed."""
        modules = Path("/usr/lib").glob("*/rsyslog/omelasticsearch.so")
        return self._binary() is not None and any(modules)

    def _binary(self) -> str | None:
        return shutil.which("rsyslogd", path="/usr/sbin:/sbin:/usr/local/sbin:/usr/bin")

    def describe(self) -> str:
        """Name and version as it says it itself."""
        command = [self._binary() or "rsyslogd", "-v"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = re.search(r"rsyslogd\s+(\S+)", said)
        return f"rsyslog {found[1].rstrip(',')}" if found else "rsyslog"

    def command(self, job: Job) -> list[str]:
        """See `Contender.command`."""
        queue = self.queue(job)
        queue.mkdir(exist_ok=True)
        added = "\n".join(f'    set $!{k.replace(".", "!")} = "{v}";' for k, v in FIELDS.items())
        config = job.folder / "rsyslog.conf"
        config.write_text(f"""\
global(workDirectory="{queue}" maxMessageSize="64k")
module(load="imfile")
module(load="mmjsonparse")
module(load="omelasticsearch")
template(name="document" type="list") {{ property(name="$!all-json-plain") }}
input(type="imfile" file="{job.source}" tag="model" ruleset="ship" persistStateInterval="20000")
ruleset(name="ship" queue.type="Disk" queue.filename="ship" queue.maxfilesize="16m" queue.maxdiskspace="8g"
        queue.dequeuebatchsize="1024" queue.mindequeuebatchsize="1024" queue.mindequeuebatchsize.timeout="100"
        queue.checkpointinterval="1024" queue.timeoutenqueue="600000" queue.timeoutshutdown="5000") {{
    action(type="mmjsonparse" cookie="")
{added}
    action(type="omelasticsearch" server="127.0.0.1" serverport="{job.sink_port}" template="document"
           searchIndex="rsyslog" searchType="" bulkmode="on" maxbytes="5m"
           action.resumeRetryCount="-1" action.resumeInterval="1")
}}
""")
        return [self._binary() or "rsyslogd", "-n", "-f", str(config), "-i", str(job.folder / "rsyslog.pid")]

    def queue(self, job: Job) -> Path:
        """See `Contender.queue`."""
        return job.folder / "spool"


CONTENDERS: tuple[Contender, ...] = (Modeltail(), Rsyslog())
"""In the order in which they take their turns."""
