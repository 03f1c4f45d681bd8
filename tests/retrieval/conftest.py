"""An S3 server on loopback."""

import pytest


@pytest.fixture(scope="module")
def storage():
    server = pytest.importorskip("moto.server", reason="needs: pip install 'moto[s3]' flask flask-cors")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    options = {
        "aws_endpoint": f"http://{host}:{port}",
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
        "aws_region": "us-east-1",
        "allow_http": "true",
    }
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=options["aws_endpoint"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket="pictures")
    yield options
    running.stop()
