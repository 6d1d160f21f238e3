"""What the handlers work with: one object that `runtime.serve` puts together."""

import time

import msgspec
from prometheus_client import CollectorRegistry

from runtime.config import Config
from runtime.control.audit import Audit
from runtime.control.database_service import DatabaseService
from runtime.control.deployments import Deployments
from runtime.control.endpoint import Call
from runtime.control.serving import Serving
from runtime.control.snapshots import Snapshots
from runtime.control.usage_record import UsageRecord
from runtime.data_dir import DataDir
from runtime.supervisor.supervisor import Supervisor
from runtime.telemetry.app_logs import AppLogs
from runtime.telemetry.reports import Reports


class Services(msgspec.Struct, frozen=True):
    """Everything behind the control API."""

    config: Config
    data_dir: DataDir
    serving: Serving
    supervisor: Supervisor
    deployments: Deployments
    databases: DatabaseService
    snapshots: Snapshots
    usage: UsageRecord
    audit: Audit
    reports: Reports
    logs: AppLogs
    metrics: CollectorRegistry
    control_address: str
    version: str
    started: float = msgspec.field(default_factory=time.time)


NodeCall = Call[Services]
