"""Tests of the images and of docker-compose.yml with a real engine; only ``make test-containers`` runs them."""
