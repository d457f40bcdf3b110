"""Java libraries with all they depend on, fetched once with Maven into the cache folder."""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers import ServerUnavailable
from tests.servers.distribution import cache_folder

_COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_DOWNLOAD_SECS = 600
_POM = """\
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>modeltail</groupId><artifactId>tests</artifactId><version>1</version>
  <dependencies>{dependencies}</dependencies>
</project>
"""


def libraries(name: str, *artifacts: str) -> Path:
    """A folder of jars: these artifacts (``group:name:version``) and what they need."""
    digest = hashlib.sha256(" ".join(artifacts).encode()).hexdigest()[:12]
    final = cache_folder() / f"{name}-{digest}"
    if final.exists():
        return final
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerUnavailable(f"needs Maven (`mvn`) to fetch {', '.join(artifacts)}")
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{final.name}-") as temporary:
        folder = Path(temporary)
        wanted = [artifact.split(":") for artifact in artifacts]
        dependencies = "".join(
            f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>"
            "</dependency>"
            for group, artifact, version in wanted
        )
        (folder / "pom.xml").write_text(_POM.format(dependencies=dependencies))
        command = [maven, "-q", "-B", "-f", str(folder / "pom.xml"), _COPY_GOAL, f"-DoutputDirectory={folder / 'libs'}"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_DOWNLOAD_SECS, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            raise ServerUnavailable(f"Maven did not fetch {name} within {_DOWNLOAD_SECS} s") from None
        if done.returncode:
            raise ServerUnavailable(f"Maven could not fetch {name}: {(done.stdout + done.stderr)[-1000:].strip()}")
        try:
            (folder / "libs").rename(final)
        except OSError:
            if not final.exists():
                raise
    return final
