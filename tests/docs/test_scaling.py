"""The manifests of the page on scaling have the shape that KEDA and Kubernetes ask for, and name what there is.

The shapes are those of the CRD of KEDA 2 (ScaledObject, TriggerAuthentication, scaler `metrics-api`) and of
autoscaling/v2, as far as the page uses them: no field more.
"""

import re
from pathlib import Path

import jsonschema_rs
import msgspec
import pytest
import yaml

from pilothouse.domain.scale import AgentLoad, ScaleRule, scale_of
from pilothouse.observability.scale import about_scale
from pilothouse.wire.scale import ScaleView, scale_view

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "scaling.md"
TEXT = PAGE.read_text(encoding="utf-8")
MANIFESTS = [one for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL) for one in yaml.safe_load_all(block)]
NAME = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {"name": {"type": "string"}},
}
COUNT = {"type": "integer", "minimum": 0}


def record(**properties):
    return {
        "type": "object", "additionalProperties": False, "required": list(properties), "properties": properties,
    }  # fmt: skip


def only(value):
    return {"const": value}


def several(item):
    return {"type": "array", "minItems": 1, "items": item}


TEXT_ = {"type": "string", "minLength": 1}
TARGET = record(apiVersion=only("apps/v1"), kind=only("Deployment"), name=TEXT_)
TRIGGER = record(
    type=only("metrics-api"),
    metadata=record(
        url={"type": "string", "pattern": "^https?://.+/v1/scale$"}, valueLocation=TEXT_,
        targetValue={"type": "string", "pattern": "^[0-9.]+$"}, authMode={"enum": ["apiKey", "basic", "tls", "bearer"]},
    ),
    authenticationRef=NAME,
)  # fmt: skip
EXTERNAL = record(metric=NAME, target=record(type=only("AverageValue"), averageValue={"type": "string"}))
SPECS = {
    "ScaledObject": ("keda.sh/v1alpha1", record(
        scaleTargetRef=NAME, minReplicaCount=COUNT, maxReplicaCount=COUNT, pollingInterval=COUNT, cooldownPeriod=COUNT,
        triggers=several(TRIGGER))),
    "TriggerAuthentication": ("keda.sh/v1alpha1", record(
        secretTargetRef=several(record(parameter={"enum": ["token"]}, name=TEXT_, key=TEXT_)))),
    "HorizontalPodAutoscaler": ("autoscaling/v2", record(
        scaleTargetRef=TARGET, minReplicas=COUNT, maxReplicas=COUNT,
        metrics=several(record(type=only("External"), external=EXTERNAL)))),
}  # fmt: skip


def faults_of(manifest):
    version, spec = SPECS[manifest["kind"]]
    schema = record(apiVersion=only(version), kind=only(manifest["kind"]), metadata=NAME, spec=spec)
    return [error.message for error in jsonschema_rs.validator_for(schema).iter_errors(manifest)]


def of_kind(kind):
    [found] = [one for one in MANIFESTS if one["kind"] == kind]
    return found


@pytest.mark.parametrize("kind", SPECS)
def test_a_manifest_has_the_shape_that_is_asked_for(kind):
    manifest = of_kind(kind)
    assert faults_of(manifest) == []
    broken = msgspec.json.decode(msgspec.json.encode(manifest))
    broken["spec"]["replicas"] = 3
    assert faults_of(broken)


def test_the_scaler_reads_a_number_that_the_endpoint_gives_and_has_the_right_to():
    trigger = of_kind("ScaledObject")["spec"]["triggers"][0]
    desk = AgentLoad(agent="desk", ready=200, running=56, oldest_wait=2.0, places=64, run_seconds=None)
    answer = msgspec.to_builtins(scale_view(scale_of((desk,), 3, 64, ScaleRule())))
    assert answer[trigger["metadata"]["valueLocation"]] == 5
    [parameter] = of_kind("TriggerAuthentication")["spec"]["secretTargetRef"]
    assert parameter["parameter"] == "token"  # what the scaler asks for in the mode `bearer`
    assert trigger["authenticationRef"]["name"] == of_kind("TriggerAuthentication")["metadata"]["name"]


def test_the_answer_on_the_page_has_the_fields_of_the_endpoint():
    [shown] = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    msgspec.json.decode(shown.encode(), type=ScaleView)
    assert list(msgspec.json.decode(shown.encode())) == [one.name for one in msgspec.structs.fields(ScaleView)]


def test_the_external_metric_is_one_of_ours():
    [metric] = of_kind("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] in {family.name for family in about_scale(None)}
