from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent


def requirements(name):
    lines = (here / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


test = ["pytest>=8", "pytest-xdist>=3.6", "hypothesis>=6.100"]
export = ["onnx>=1.17", "onnxruntime>=1.20", "tf2onnx>=1.16", "ai-edge-litert>=1.2"]

setup(
    name="midas",
    version="0.2.0",
    description="Handwriting recognition from a few dozen samples per character, and from labels that are all wrong",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.10,<3.14",  # there is no TensorFlow for 3.14 yet, only release candidates
    # The trained networks lie at the top of the checkout; an installation has them inside the package.
    packages=[*find_packages(include=["midas", "midas.*"]), "midas.checkpoints"],
    package_dir={"midas.checkpoints": "checkpoints"},
    package_data={
        "midas": ["py.typed"],
        "midas.report": ["templates/*.html"],
        "midas.web": ["templates/*.html", "static/*"],
        "midas.checkpoints": ["*.keras", "*.json", "part3-best/*"],
    },
    install_requires=requirements("requirements.txt"),
    extras_require={
        "test": test,
        "audit": ["cleanlab>=2.6"],
        "parquet": ["pyarrow>=17"],
        "cluster": ["distributed>=2024.8"],
        "heic": ["pillow-heif>=0.21"],
        "export": export,
        "dev": [*test, *export, "distributed>=2024.8", "playwright>=1.49", "ruff>=0.12", "mypy>=1.15", "build"],
    },
    entry_points={"console_scripts": ["midas = midas.__main__:main"]},
)
