"""A process for the tests of slots: ready as soon as it is told its settings, it says what else it is told.

It ends only when it is killed or its supervisor is gone.
"""

import socket

from dataplane.messages import Drain, Dropped, Leave, Ready, ToWorker, WorkerSettings
from runtime.framing import FD, Decoder, encode


def main() -> None:
    """Run until the end of the control channel."""
    control = socket.socket(fileno=FD)
    decoder: Decoder[ToWorker] = Decoder(ToWorker)
    while data := control.recv(65536):
        for message in decoder.feed(data):
            match message:
                case WorkerSettings():
                    control.sendall(encode(Ready()))
                case Leave():
                    control.sendall(encode(Dropped("leave")))
                case Drain():
                    control.sendall(encode(Dropped("drain")))
        control.sendall(decoder.beats())


main()
