"""Where an instance keeps its state: one folder, so that two instances live side by side."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pipelines.lake.stores import Stores, stores_of

_PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Home:
    """The folder of one instance (`CELLWORKS_HOME`) and the names of what lies in it.

    Args:
        root: absolute path of the folder; `ensure` creates it.
    """

    root: Path

    @classmethod
    def from_env(cls, override: Path | None = None) -> Home:
        """The home to use: `override`, else `CELLWORKS_HOME`, else `.cellworks` in the project."""
        if override is not None:
            return cls(override.expanduser().resolve())
        named = os.environ.get("CELLWORKS_HOME", "").strip()
        return cls(Path(named).expanduser().resolve() if named else _PROJECT / ".cellworks")

    @property
    def lake_dir(self) -> Path:
        """Folder of the catalogue, its lock and the data files."""
        return self.root / "lake"

    @property
    def catalogue(self) -> Path:
        """SQLite file of the DuckLake catalogue."""
        return self.lake_dir / "catalogue.sqlite"

    @property
    def data_dir(self) -> Path:
        """Parquet files of the lake."""
        return self.lake_dir / "data"

    @property
    def staged_dir(self) -> Path:
        """Files of the batch that is being taken in; there while it is."""
        return self.lake_dir / "staged"

    @property
    def lock_file(self) -> Path:
        """File lock that every writer takes."""
        return self.lake_dir / "writer.lock"

    @property
    def moved_file(self) -> Path:
        """There once the embedded instance was moved to servers."""
        return self.root / "moved.json"

    @property
    def restoring_file(self) -> Path:
        """There while a backup is brought back."""
        return self.root / "restoring.json"

    @property
    def extension_dir(self) -> Path:
        """DuckDB extensions, installed from the wheels."""
        return self.root / "extensions"

    @property
    def drop_dir(self) -> Path:
        """Drop folder: `<feed>/*.{csv,csv.gz,parquet,jsonl}`."""
        return self.root / "drop"

    @property
    def erp_file(self) -> Path:
        """SQLite file that stands for the plant's ERP and CMMS database on the demo site."""
        return self.root / "erp" / "erp.sqlite"

    @property
    def erp_url(self) -> str:
        """SQLAlchemy address of `erp_file`."""
        return f"sqlite:///{self.erp_file}"

    @property
    def twin_dir(self) -> Path:
        """State of the plant twin."""
        return self.root / "twin"

    @property
    def stores(self) -> Stores:
        """Where catalogue, data, registry and runs are kept; `CELLWORKS_ENV` chooses.

        Raises:
            CellworksError: the environment is named wrongly or incompletely.
        """
        return stores_of(self)

    @property
    def has_lake(self) -> bool:
        """Whether there is a catalogue yet.

        Raises:
            CellworksError: it is on a server that does not answer.
        """
        stores = self.stores
        if stores.lake_url is None:
            return self.catalogue.is_file()
        from pipelines.lake.servers import has_catalogue

        return has_catalogue(stores)

    @property
    def lake_identity(self) -> object:
        """Another value when the catalogue is another one, as after a restore; None before there is one."""
        stores = self.stores
        if stores.lake_url is not None:
            return stores.lake_url
        return (self.catalogue.stat().st_dev, self.catalogue.stat().st_ino) if self.catalogue.exists() else None

    def report_dir(self, slug: str) -> Path:
        """Pictures of a solution that learns nothing and so has no run in MLflow."""
        return self.root / "reports" / slug

    @property
    def dagster_dir(self) -> Path:
        """`DAGSTER_HOME`."""
        return self.root / "dagster"

    @property
    def dbt_dir(self) -> Path:
        """Profile, target and logs of dbt."""
        return self.root / "dbt"

    @property
    def gx_dir(self) -> Path:
        """Great Expectations context and Data Docs."""
        return self.root / "gx"

    def ensure(self) -> Home:
        """Create the folders; harmless when they are there. Returns itself."""
        folders = (
            self.lake_dir,
            self.data_dir,
            self.extension_dir,
            self.drop_dir,
            self.erp_file.parent,
            self.twin_dir,
            self.root / "mlflow" / "artifacts",
            self.dagster_dir,
            self.dbt_dir,
            self.gx_dir,
        )
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        return self
