"""Where bars come from: settings of the broker's rivals - a directory, an object store, a table of somebody else's.

What goes here: names, types, defaults, and what cannot be together. What does not: reading them from YAML and the
environment (`settings`), and the sources themselves (`adapters.objects`, `adapters.postgres.foreign_bars`).
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from ibkr_assets.domain.bar import BarSize
from ibkr_assets.domain.errors import ConfigurationError


class SourceKind(StrEnum):
    """What feeds `raw_bars`."""

    BROKER = "broker"
    DIRECTORY = "directory"
    S3 = "s3"
    POSTGRES = "postgres"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class S3Settings(_Section):
    """An S3-compatible store. What is not set here is taken from the usual AWS variables and files."""

    url: str | None = Field(None, description="s3://bucket/prefix that feeds raw_bars where sources.bars is s3")
    endpoint: str | None = Field(
        None, description="http(s)://host:port; without it AWS_ENDPOINT_URL_S3, then AWS's own"
    )
    region: str | None = Field(None, description="without it AWS_REGION or AWS_DEFAULT_REGION")
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    is_anonymous: bool = Field(default=False, description="a public bucket: sign nothing")
    has_md5_etags: bool = Field(default=True, description="false for a store whose ETags are no MD5, as under SSE-KMS")
    connect_timeout_s: float = Field(5.0, gt=0, le=60)
    read_timeout_s: float = Field(60.0, gt=0, le=600, description="without any byte")

    @model_validator(mode="after")
    def _whole_key(self) -> S3Settings:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key are set together or not at all")
        return self


class ColumnNames(_Section):
    """Which column of the table is which field of a bar."""

    symbol: str = Field("symbol", min_length=1)
    time: str = Field("time", min_length=1)
    open: str = Field("open", min_length=1)
    high: str = Field("high", min_length=1)
    low: str = Field("low", min_length=1)
    close: str = Field("close", min_length=1)
    volume: str = Field("volume", min_length=1)


class ForeignTableSettings(_Section):
    """A table or view of bars in a Postgres database that is not ours. It is only read."""

    url: SecretStr | None = Field(None, description="postgresql:// URL")
    url_file: Path | None = Field(None, description="file whose one line is the URL, as secrets are mounted")
    table_schema: str | None = Field(None, min_length=1, description="without it the role's search path")
    table: str = Field("bars", min_length=1)
    columns: ColumnNames = ColumnNames()
    time_zone: str | None = Field(None, description="of times without a zone, and whose midnight means a daily bar")
    bar_size: BarSize = BarSize.DAY

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        try:
            return None if value is None else ZoneInfo(value).key
        except (ValueError, ZoneInfoNotFoundError):
            raise ValueError("not a time zone") from None

    @model_validator(mode="after")
    def _one_url(self) -> ForeignTableSettings:
        if self.url is not None and self.url_file is not None:
            raise ValueError("url and url_file: set one of them")
        return self

    def read_url(self) -> str:
        """The URL with its password. Raises ConfigurationError when there is none, or its file cannot be read."""
        if self.url is not None:
            return self.url.get_secret_value()
        if self.url_file is None:
            raise ConfigurationError("sources.postgres.url: not set, and neither is sources.postgres.url_file")
        try:
            return self.url_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigurationError(
                f"sources.postgres.url_file: cannot read {self.url_file}: {error.strerror}"
            ) from None


class SourceSettings(_Section):
    """`bars` says what feeds raw_bars; it holds for every launch, whoever asks for the run."""

    bars: SourceKind = SourceKind.BROKER
    directory: Path | None = Field(None, description="of .csv and .parquet files")
    instruments: Path | None = Field(None, description="CSV with symbol and conid, for symbols that are not known yet")
    s3: S3Settings = S3Settings()
    postgres: ForeignTableSettings = ForeignTableSettings()

    @model_validator(mode="after")
    def _has_place(self) -> SourceSettings:
        if self.bars is SourceKind.DIRECTORY and self.directory is None:
            raise ValueError("bars is directory, and directory is not set")
        if self.bars is SourceKind.S3 and self.s3.url is None:
            raise ValueError("bars is s3, and s3.url is not set")
        if self.bars is SourceKind.POSTGRES:
            if self.postgres.url is None and self.postgres.url_file is None:
                raise ValueError("bars is postgres, and neither postgres.url nor postgres.url_file is set")
            if self.postgres.bar_size is not BarSize.DAY:
                raise ValueError(f"bars is postgres: raw_bars are daily, postgres.bar_size is {self.postgres.bar_size}")
        return self
