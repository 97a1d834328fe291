"""The public interface of `import archsieve`: spaces, searches, results, trained models, ask and tell."""
