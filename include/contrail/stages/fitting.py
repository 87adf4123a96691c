"""Whether a model fits the pipeline as it is now, and what a person can do when it does not."""

from dataclasses import replace

from contrail.adapters.registry import RegisteredModel
from contrail.config.spec import PipelineSpec
from contrail.errors import SpecError


def fitted(spec: PipelineSpec, model: RegisteredModel) -> RegisteredModel:
    """Return a model that reads the features under their names of today.

    Raises:
        SpecError: when it does not fit, naming each difference, and the commands that make a model which does.
    """
    if problems := model.package.differences(spec):
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise SpecError(
            f"{model.name} version {model.version} does not fit the pipeline as it is now:\n{listed}\n"
            "Nothing was scored; predictions are as they were. Give pipeline.yaml back what the model needs (a dropped "
            "feature comes back with its published values; renamed_from names a renamed one), take another version, "
            f"or train and promote a new one:\n  contrail train -p {spec.name}\n  contrail promote -p {spec.name}"
        )
    return replace(model, package=model.package.of_today(spec))
