"""How good a model is, in every way that a person asks: reads run folders alone, no database, no torch.

Every figure comes from `trainer.statistics`; here it is asked again, of other thresholds, other images, other models.
"""
