"""The service that Shoutback replaces: no authentication, no limits, no cache, no log of its own."""

import os

import requests
from flask import Flask, jsonify, request

app = Flask(__name__)
URL = os.environ["SHOUTCLOUD_URL"]


@app.route("/v1", methods=["POST"])
def shout():
    text = request.get_json()["data"]
    response = requests.post(URL, json={"INPUT": text[::-1]})
    return jsonify({"data": response.json()["OUTPUT"]})
