"""One process a device that runs the models, and the way of images from the web workers to it and of scores back.

web worker:  RemoteEngine -> RemoteModel -> Link ~~ socket ~~ engine process: Host -> Gatherer -> Lane -> Engine
                                  images and scores lie in an Arena, memory that the two share
parent:      EngineProcesses starts and supervises the engine processes, and takes no part in answering
"""
