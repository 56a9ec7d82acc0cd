"""From suite to report, stage by stage; each stage works on the run directory alone.

``prepare`` builds the plan, ``run`` ties the stages together: ``generation`` (clips), ``scoring`` (decode once,
features, measurements), ``summary`` (results), ``finish`` (gates, verdict, reports). ``finish`` and ``runspec``
import no torch.
"""
