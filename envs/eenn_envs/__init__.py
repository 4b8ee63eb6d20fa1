"""Gymnasium environments in which an early-exit network is built decision by decision."""
