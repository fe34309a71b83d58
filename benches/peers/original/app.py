"""The service that Shoutback takes the place of, in its own terms: no token, no limit, no cache, no log of its own."""

import os

import requests
from flask import Flask, jsonify, request

app = Flask(__name__)
URL = os.environ["SHOUTCLOUD_URL"]


@app.route("/v1", methods=["POST"])
def shout():
    text = request.get_json()["data"]
    answer = requests.post(URL, json={"INPUT": text[::-1]})
    return jsonify({"data": answer.json()["OUTPUT"]})
