"""What was acknowledged survives the server's sudden end."""

import threading

from harness import Mqtt, check, equal, run


@check
def a_message_for_one_who_is_away(server):
    files = server.anybody()
    away = Mqtt(server, files, "Keeper", clean=False, expiry_s=3600).connect()
    away.subscribe("Keeper/inbox/#", 1)
    away.close()
    for round in range(3):
        sender = Mqtt(server, files, "Sender")
        sender.client.max_inflight_messages_set(100)
        sender.connect()
        for number in range(200):
            sender.client.publish(f"Keeper/inbox/{round}/{number}", f"{round} {number}", 1)
        sender.wait("half of the acknowledgements", lambda: len(sender.acknowledged) >= 100)
        server.kill()
        # What paho noted before the end of the connection is what the server had promised.
        promised = len(sender.acknowledged)
        sender.client.loop_stop()
        server.start()
        away = Mqtt(server, files, "Keeper", clean=False, expiry_s=3600).connect()
        equal(away.connack[0].session_present, True, "the session was forgotten")
        away.wait(f"{promised} messages", lambda: len({message.topic for message in away.messages}) >= promised)
        numbers = [int(message.topic.rsplit("/", 1)[1]) for message in away.messages if not message.dup]
        equal(numbers, sorted(numbers), "messages came in another order")
        away.close()


@check
def answers_of_the_control_plane(server):
    iot = server.boto("iot")
    created = []
    stop = threading.Event()

    def create():
        number = 0
        while not stop.is_set():
            try:
                iot.create_thing(thingName=f"durable-{number}")
            except Exception:
                return
            created.append(f"durable-{number}")
            number += 1

    worker = threading.Thread(target=create)
    worker.start()
    while len(created) < 25:
        worker.join(0.01)
        if not worker.is_alive():
            raise AssertionError("things cannot be created")
    server.kill()
    stop.set()
    worker.join()
    server.start()
    for thing in created:
        server.boto("iot").describe_thing(thingName=thing)


@check
def a_graceful_stop_and_start(server):
    files = server.anybody()
    client = Mqtt(server, files, "Retainer").connect()
    client.publish("Retainer/kept", "still here", 1, retain=True)
    server.stop()
    client.client.loop_stop()
    server.start()
    later = Mqtt(server, files, "Retainer").connect()
    later.subscribe("Retainer/kept")
    message = later.next()
    equal((message.payload, message.retain), (b"still here", True))
    later.close()


run()
