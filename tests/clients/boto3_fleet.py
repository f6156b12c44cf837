"""boto3: things, types, groups, certificates, policies, tags, endpoint. Every answer passes botocore's own parser."""

import datetime
import re

from harness import ACCOUNT, REGION, check, equal, refused, run

ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}"


@check
def caller_and_endpoint(server):
    equal(server.boto("sts").get_caller_identity()["Account"], ACCOUNT)
    iot = server.boto("iot")
    for kind in ("iot:Data-ATS", "iot:Data"):
        equal(iot.describe_endpoint(endpointType=kind)["endpointAddress"], "localhost", kind)
    refused("InvalidRequestException", lambda: iot.describe_endpoint(endpointType="iot:Nonsense"))


@check
def things(server):
    iot = server.boto("iot")
    created = iot.create_thing(thingName="fridge", attributePayload={"attributes": {"site": "kitchen"}})
    equal(created["thingArn"], f"{ARN}:thing/fridge")
    equal(iot.create_thing(thingName="fridge", attributePayload={"attributes": {"site": "kitchen"}})["thingId"], created["thingId"])
    refused("ResourceAlreadyExistsException", lambda: iot.create_thing(thingName="fridge"))
    seen = iot.describe_thing(thingName="fridge")
    equal((seen["attributes"], seen["version"]), ({"site": "kitchen"}, 1))
    iot.update_thing(thingName="fridge", attributePayload={"attributes": {"floor": "2"}, "merge": True}, expectedVersion=1)
    seen = iot.describe_thing(thingName="fridge")
    equal((seen["attributes"], seen["version"]), ({"site": "kitchen", "floor": "2"}, 2))
    refused("VersionConflictException", lambda: iot.update_thing(thingName="fridge", attributePayload={"attributes": {"a": "b"}}, expectedVersion=1))
    refused("ResourceNotFoundException", lambda: iot.describe_thing(thingName="toaster"))
    refused("InvalidRequestException", lambda: iot.create_thing(thingName="no spaces"))
    iot.delete_thing(thingName="fridge")
    refused("ResourceNotFoundException", lambda: iot.describe_thing(thingName="fridge"))


@check
def names_that_need_encoding(server):
    iot = server.boto("iot")
    iot.create_thing(thingName="a:b_c-d")
    equal(iot.describe_thing(thingName="a:b_c-d")["thingName"], "a:b_c-d")


@check
def thing_types(server):
    iot = server.boto("iot")
    iot.create_thing_type(thingTypeName="Camera", thingTypeProperties={"thingTypeDescription": "sees"})
    iot.create_thing(thingName="camera1", thingTypeName="Camera")
    equal([thing["thingName"] for thing in iot.list_things(thingTypeName="Camera")["things"]], ["camera1"])
    iot.deprecate_thing_type(thingTypeName="Camera")
    equal(iot.describe_thing_type(thingTypeName="Camera")["thingTypeMetadata"]["deprecated"], True)
    refused("InvalidRequestException", lambda: iot.create_thing(thingName="camera2", thingTypeName="Camera"))


@check
def groups(server):
    iot = server.boto("iot")
    iot.create_thing_group(thingGroupName="house")
    iot.create_thing_group(thingGroupName="floor", parentGroupName="house")
    iot.create_thing(thingName="lamp")
    iot.add_thing_to_thing_group(thingGroupName="floor", thingName="lamp")
    equal(iot.list_things_in_thing_group(thingGroupName="floor")["things"], ["lamp"])
    equal(iot.list_things_in_thing_group(thingGroupName="house")["things"], [])
    equal(iot.list_things_in_thing_group(thingGroupName="house", recursive=True)["things"], ["lamp"])
    listed = iot.list_thing_groups_for_thing(thingName="lamp")["thingGroups"]
    equal([group["groupName"] for group in listed], ["floor"])
    metadata = iot.describe_thing_group(thingGroupName="floor")["thingGroupMetadata"]
    equal(metadata["parentGroupName"], "house")
    iot.remove_thing_from_thing_group(thingGroupName="floor", thingName="lamp")
    equal(iot.list_things_in_thing_group(thingGroupName="floor")["things"], [])
    refused("ResourceNotFoundException", lambda: iot.add_thing_to_thing_group(thingGroupName="cellar", thingName="lamp"))
    refused("InvalidRequestException", lambda: iot.delete_thing_group(thingGroupName="house"))
    iot.delete_thing_group(thingGroupName="floor")
    iot.delete_thing_group(thingGroupName="house")


@check
def paging(server):
    iot = server.boto("iot")
    names = [f"page-{number:03}" for number in range(23)]
    for name in names:
        iot.create_thing(thingName=name, attributePayload={"attributes": {"kind": "paged"}})
    pages = list(iot.get_paginator("list_things").paginate(attributeName="kind", attributeValue="paged", maxResults=10))
    equal([len(page["things"]) for page in pages], [10, 10, 3])
    equal(sorted(thing["thingName"] for page in pages for thing in page["things"]), names)


@check
def certificates(server):
    iot = server.boto("iot")
    made = iot.create_keys_and_certificate(setAsActive=True)
    if not re.fullmatch("[0-9a-f]{64}", made["certificateId"]):
        raise AssertionError(made["certificateId"])
    seen = iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    equal((seen["status"], seen["certificatePem"]), ("ACTIVE", made["certificatePem"]))
    if not isinstance(seen["creationDate"], datetime.datetime):
        raise AssertionError(seen["creationDate"])
    iot.create_thing(thingName="holder")
    iot.attach_thing_principal(thingName="holder", principal=made["certificateArn"])
    equal(iot.list_thing_principals(thingName="holder")["principals"], [made["certificateArn"]])
    equal(iot.list_principal_things(principal=made["certificateArn"])["things"], ["holder"])
    refused("InvalidRequestException", lambda: iot.delete_thing(thingName="holder"))
    refused("CertificateStateException", lambda: iot.delete_certificate(certificateId=made["certificateId"]))
    iot.detach_thing_principal(thingName="holder", principal=made["certificateArn"])
    iot.update_certificate(certificateId=made["certificateId"], newStatus="INACTIVE")
    iot.delete_certificate(certificateId=made["certificateId"])
    refused("ResourceNotFoundException", lambda: iot.describe_certificate(certificateId=made["certificateId"]))


@check
def policies(server):
    iot = server.boto("iot")
    document = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}'
    equal(iot.create_policy(policyName="Everything", policyDocument=document)["policyVersionId"], "1")
    refused("ResourceAlreadyExistsException", lambda: iot.create_policy(policyName="Everything", policyDocument=document))
    refused("MalformedPolicyException", lambda: iot.create_policy(policyName="Broken", policyDocument="{"))
    second = iot.create_policy_version(policyName="Everything", policyDocument=document, setAsDefault=True)
    equal((second["policyVersionId"], second["isDefaultVersion"]), ("2", True))
    equal(iot.get_policy(policyName="Everything")["defaultVersionId"], "2")
    made = iot.create_keys_and_certificate(setAsActive=False)
    iot.attach_policy(policyName="Everything", target=made["certificateArn"])
    equal([policy["policyName"] for policy in iot.list_attached_policies(target=made["certificateArn"])["policies"]], ["Everything"])
    equal(iot.list_targets_for_policy(policyName="Everything")["targets"], [made["certificateArn"]])
    refused("DeleteConflictException", lambda: iot.delete_policy(policyName="Everything"))
    iot.detach_policy(policyName="Everything", target=made["certificateArn"])
    refused("DeleteConflictException", lambda: iot.delete_policy(policyName="Everything"), "version")
    iot.delete_policy_version(policyName="Everything", policyVersionId="1")
    iot.delete_policy(policyName="Everything")
    refused("ResourceNotFoundException", lambda: iot.get_policy(policyName="Everything"))


@check
def tags(server):
    iot = server.boto("iot")
    arn = iot.create_thing_group(thingGroupName="tagged", tags=[{"Key": "owner", "Value": "me"}])["thingGroupArn"]
    iot.tag_resource(resourceArn=arn, tags=[{"Key": "cost", "Value": "1"}])
    listed = iot.list_tags_for_resource(resourceArn=arn)["tags"]
    equal(sorted((tag["Key"], tag["Value"]) for tag in listed), [("cost", "1"), ("owner", "me")])
    iot.untag_resource(resourceArn=arn, tagKeys=["owner"])
    equal(iot.list_tags_for_resource(resourceArn=arn)["tags"], [{"Key": "cost", "Value": "1"}])


@check
def regions_are_apart(server):
    server.boto("iot").create_thing(thingName="here")
    refused("ResourceNotFoundException", lambda: server.boto("iot", region="eu-west-1").describe_thing(thingName="here"))


@check
def an_operation_that_is_not_there_yet_is_named(server):
    error = refused("NotImplementedException", lambda: server.boto("iot").create_job(jobId="j", targets=[f"{ARN}:thing/a"]), "CreateJob")
    equal(error.response["ResponseMetadata"]["HTTPStatusCode"], 501)


@check
def wrong_keys_are_refused(server):
    key_id, secret = server.key
    refused("UnrecognizedClientException", lambda: server.boto("iot", key=("AKIANOBODY", secret)).list_things())
    refused("InvalidSignatureException", lambda: server.boto("iot", key=(key_id, "wrong")).list_things())


@check
def a_revoked_key_is_useless(server):
    printed = server.command("access-key", "create")
    values = dict(line.strip().removeprefix("export ").split("=", 1) for line in printed.splitlines() if "=" in line)
    key = (values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"])
    server.boto("iot", key=key).list_things()
    server.command("access-key", "revoke", key[0])
    refused("UnrecognizedClientException", lambda: server.boto("iot", key=key).list_things())


run()
