"""The registry: the images that its lifecycle policy expires, by ECR's rules of evaluation."""

import fnmatch
import json
from dataclasses import dataclass, field

FOLDER = "modules/ecr"
SHA = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Image:
    age: int
    tags: list = field(default_factory=list)


def expired(policy, images):
    """Returns the expired images. Each is evaluated by the first rule whose tags it matches, and by no later one; the newest count
    first. A rule also counts images that an earlier rule retains."""
    expired, decided = [], []
    for rule in sorted(policy["rules"], key=lambda rule: rule["rulePriority"]):
        chosen = rule["selection"]
        found = sorted((image for image in images if selects(chosen, image)), key=lambda image: image.age)
        if chosen["countType"] == "imageCountMoreThan":
            old = found[chosen["countNumber"] :]
        else:
            old = [image for image in found if image.age > chosen["countNumber"]]
        expired += [image for image in old if image not in decided]
        decided += [image for image in found if image not in decided]
    return expired


def selects(chosen, image):
    if chosen["tagStatus"] == "untagged":
        return not image.tags
    patterns = chosen["tagPatternList"]
    return bool(image.tags) and all(any(fnmatch.fnmatchcase(tag, pattern) for tag in image.tags) for pattern in patterns)


def lifecycle(tested, run):
    return json.loads(tested[f"ecr/{run}"].one("aws_ecr_lifecycle_policy")["policy"])


def test_deployed_images_never_expire(tested):
    policy = lifecycle(tested, "shared")
    years = 365 * 20
    production = [Image(years + n, [f"{n:040x}", f"production-{n:040x}"]) for n in range(600)]
    staging = [Image(years + n, [f"{n:040x}", f"staging-{n:040x}"]) for n in range(600, 1200)]
    both = [Image(years, [SHA, f"staging-{SHA}", f"production-{SHA}"])]
    newer = [Image(n, [f"{n:040x}"]) for n in range(2000)]
    assert not [image for image in expired(policy, [*production, *staging, *both, *newer]) if image not in newer]


def test_untagged_images_such_as_signatures_never_expire(tested):
    assert not expired(lifecycle(tested, "shared"), [Image(365 * 20) for _ in range(1000)])


def test_only_the_newest_undeployed_images_are_retained(tested):
    images = [Image(age, [f"{age:040x}"]) for age in range(510)]
    assert expired(lifecycle(tested, "shared"), images) == images[500:]


def test_one_rule_per_environment(tested):
    """All patterns of one rule must match, and few images have been deployed to both."""
    rules = [rule["selection"] for rule in lifecycle(tested, "shared")["rules"]]
    assert all(len(selection["tagPatternList"]) == 1 for selection in rules)
