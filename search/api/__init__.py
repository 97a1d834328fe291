"""What `import archsieve` offers: spaces, searches, results, trained models, ask and tell."""
