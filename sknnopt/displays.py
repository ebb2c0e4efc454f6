"""Pictures of what an estimator or a search has stored; drawing computes nothing."""

from __future__ import annotations

from sknnopt._activation_displays import ActivationFunctionDisplay
from sknnopt._distribution_displays import (
    ActivationHistogramDisplay,
    WeightDistributionDisplay,
)
from sknnopt._gradient_display import GradientFlowDisplay
from sknnopt._parallel_display import ParallelCoordinatesDisplay
from sknnopt._parameter_displays import (
    ParameterEffectDisplay,
    ParameterImportanceDisplay,
)
from sknnopt._search_displays import SearchConvergenceDisplay, SearchCurvesDisplay
from sknnopt._training_displays import FitComparisonDisplay, TrainingHistoryDisplay

__all__ = [
    "ActivationFunctionDisplay",
    "ActivationHistogramDisplay",
    "FitComparisonDisplay",
    "GradientFlowDisplay",
    "ParallelCoordinatesDisplay",
    "ParameterEffectDisplay",
    "ParameterImportanceDisplay",
    "SearchConvergenceDisplay",
    "SearchCurvesDisplay",
    "TrainingHistoryDisplay",
    "WeightDistributionDisplay",
]
