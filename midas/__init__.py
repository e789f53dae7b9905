"""midas: small networks for a few handwriting samples and for labels that cannot be trusted."""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reports every start on stderr otherwise
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))  # 11,000 x 11,000: larger is no handwriting
os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")  # an unreadable image is reported by us, once
