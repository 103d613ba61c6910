# SPDX-License-Identifier: Apache-2.0
"""What every failure code means and what the owner can do about it."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class FailureCode:
    """What one failure code means.

    :ivar summary: one sentence: what happened
    :ivar advice: one sentence: what the owner can do
    :ivar retryable: whether the same input may succeed later
    """

    code: str
    summary: str
    advice: str
    retryable: bool


#: Those of the library itself, in the order in which a task meets them.
CATALOGUE = (
    FailureCode(
        "source_not_allowed",
        "the source's scheme, port, address or path is not permitted here",
        "Use a public address, or ask the operator which sources are allowed",
        False,
    ),
    FailureCode(
        "source_not_found",
        "the source has no such file",
        "Check the address of the source and submit the task again",
        False,
    ),
    FailureCode(
        "source_denied",
        "the source refuses to hand out the file",
        "Give a user and password in the address, or use a signed address",
        False,
    ),
    FailureCode(
        "source_unavailable",
        "the source could not be reached or answered with an error of its own",
        "Retry the task when the source works again",
        True,
    ),
    FailureCode(
        "source_cut",
        "the source ended the transfer before all bytes had come",
        "Retry the task; if it happens again the source is broken",
        True,
    ),
    FailureCode(
        "source_too_slow",
        "the source sent nothing, or too little, for too long",
        "Retry the task later, or use a faster source",
        True,
    ),
    FailureCode(
        "source_too_big",
        "the source is larger than this service takes",
        "Import a smaller image, or ask the operator to raise the limit",
        False,
    ),
    FailureCode(
        "source_changed",
        "the source kept changing while it was read",
        "Retry the task when the file at the source is final",
        True,
    ),
    FailureCode(
        "source_invalid",
        "the source's answer does not follow the protocol",
        "Use another source; this one breaks the rules of HTTP",
        False,
    ),
    FailureCode(
        "upload_truncated",
        "the bytes that were handed in ended before the image was whole",
        "Submit the task again and hand the bytes in; what is cut can be"
        " continued while the task waits",
        True,
    ),
    FailureCode(
        "upload_too_big",
        "more bytes were handed in than were announced or are allowed",
        "Announce the right size, or hand in an image within the limit",
        False,
    ),
    FailureCode(
        "checksum_mismatch",
        "the bytes received do not have the digest that was given",
        "Check the digest; if it is right, the file at the source is not",
        False,
    ),
    FailureCode(
        "format_mismatch",
        "the image is not in the format that was declared",
        "Submit the task again with the format the image really has",
        False,
    ),
    FailureCode(
        "archive_malformed",
        "the archive is damaged or contradicts itself",
        "Check the archive with the program that made it, or make it anew",
        False,
    ),
    FailureCode(
        "archive_unfit",
        "the archive is not one plain disk image, packed once",
        "Pack the disk image alone, without a password, links or an archive"
        " in it",
        False,
    ),
    FailureCode(
        "unpack_size_limit",
        "the archive unpacks to more than this service takes",
        "Import a smaller disk, or ask the operator to raise the limit",
        False,
    ),
    FailureCode(
        "unpack_ratio_limit",
        "the archive unpacks to more than an archive of its size may",
        "Import the disk image unpacked, or as a qcow2",
        False,
    ),
    FailureCode(
        "unpack_memory_limit",
        "the archive needs more memory to be unpacked than it may use",
        "Compress the disk image again with a smaller window or dictionary",
        False,
    ),
    FailureCode(
        "image_malformed",
        "the image's own headers are damaged or contradict each other",
        "Check the file, for example by converting it anew, and try again",
        False,
    ),
    FailureCode(
        "unsafe_image",
        "the image refers to something outside itself or hides another format",
        "Flatten the image into one plain file without references",
        False,
    ),
    FailureCode(
        "virtual_size_exceeded",
        "the disk inside the image is larger than this service takes",
        "Import a smaller disk, or ask the operator to raise the limit",
        False,
    ),
    FailureCode(
        "check_refused",
        "a check that this service makes of every image refused it",
        "Read the reason given, change the image accordingly and try again",
        False,
    ),
    FailureCode(
        "convert_failed",
        "the image could not be converted",
        "Check the image with qemu-img; it may be damaged",
        False,
    ),
    FailureCode(
        "convert_timeout",
        "the conversion took longer than an image of its size may",
        "Retry the task; if it happens again, convert the image beforehand",
        True,
    ),
    FailureCode(
        "convert_cpu_limit",
        "the conversion used more processor time than it may",
        "Convert the image beforehand and import the result",
        False,
    ),
    FailureCode(
        "convert_memory_limit",
        "the conversion needed more memory than it may use",
        "Convert the image beforehand and import the result",
        False,
    ),
    FailureCode(
        "convert_size_limit",
        "the converted image grew larger than it may",
        "Convert the image beforehand and import the result",
        False,
    ),
    FailureCode(
        "image_not_found",
        "there is no such image, or this project may not read it",
        "Check the id of the image; ask its owner to share it",
        False,
    ),
    FailureCode(
        "image_damaged",
        "the image's data in the store is not what was stored there",
        "Use another image; tell the operator the id of this one",
        False,
    ),
    FailureCode(
        "content_differs",
        "the converted image does not hold the same disk",
        "Retry the task; if it happens again, tell the operator its id",
        True,
    ),
    FailureCode(
        "export_refused",
        "this image may not leave the cloud",
        "Ask the operator whether it may, with the property that is named",
        False,
    ),
    FailureCode(
        "scrub_failed",
        "the program by which this service scrubs images has failed",
        "Read what it said; tell the operator the id of this task",
        False,
    ),
    FailureCode(
        "scrub_timeout",
        "scrubbing the image took longer than it may",
        "Retry the task; if it happens again, tell the operator its id",
        True,
    ),
    FailureCode(
        "scrub_cpu_limit",
        "scrubbing the image used more processor time than it may",
        "Tell the operator the id of this task",
        False,
    ),
    FailureCode(
        "scrub_memory_limit",
        "scrubbing the image needed more memory than it may use",
        "Tell the operator the id of this task",
        False,
    ),
    FailureCode(
        "scrub_size_limit",
        "the scrubbed image grew larger than it may",
        "Tell the operator the id of this task",
        False,
    ),
    FailureCode(
        "disk_full",
        "this service ran out of room for the image while working on it",
        "Retry the task later; the operator has been told",
        True,
    ),
    FailureCode(
        "destination_not_allowed",
        "the destination's scheme, port, address or path is not permitted",
        "Use another destination, or ask the operator which are allowed",
        False,
    ),
    FailureCode(
        "destination_denied",
        "the destination refuses the credentials, or to be written to",
        "Check the credentials and that they may write there, and try again",
        False,
    ),
    FailureCode(
        "destination_not_found",
        "the destination has no such container or bucket",
        "Make the container or bucket, or correct its name, and try again",
        False,
    ),
    FailureCode(
        "destination_exists",
        "the destination holds another object already, which is kept",
        "Choose another place, or ask for it to be overwritten",
        False,
    ),
    FailureCode(
        "destination_full",
        "the destination has no room for the image",
        "Make room there, or use another destination, and try again",
        True,
    ),
    FailureCode(
        "destination_too_slow",
        "the destination took nothing, or too little, for too long",
        "Retry the task later, or use a faster destination",
        True,
    ),
    FailureCode(
        "destination_unavailable",
        "the destination could not be reached or failed by itself",
        "Retry the task when the destination works again",
        True,
    ),
    FailureCode(
        "destination_invalid",
        "the destination's answer does not follow its protocol",
        "Use another destination; this one breaks the rules",
        False,
    ),
    FailureCode(
        "destination_unverified",
        "the destination does not prove that it holds the image",
        "Retry the task; if it happens again, use another destination",
        True,
    ),
    FailureCode(
        "store_full",
        "the image store has no room for the image",
        "Retry the task later; the operator has been told",
        True,
    ),
    FailureCode(
        "store_unavailable",
        "the image store cannot be written to",
        "Retry the task later; the operator has been told",
        True,
    ),
    FailureCode(
        "catalogue_unavailable",
        "the image catalogue does not answer",
        "Retry the task later; the operator has been told",
        True,
    ),
    FailureCode(
        "image_exists",
        "an image with this id exists already",
        "Submit the task again with another id, or without one",
        False,
    ),
    FailureCode(
        "image_gone",
        "the image was deleted while the task waited or worked",
        "Nothing can be done with this image any more",
        False,
    ),
    FailureCode(
        "image_protected",
        "the image is protected from what was asked",
        "Take the protection off the image and submit the task again",
        False,
    ),
    FailureCode(
        "location_conflict",
        "the image's data is not in the state that this needs",
        "Look at the image, and submit the task again if it still applies",
        True,
    ),
    FailureCode(
        "deletion_undone",
        "somebody undid the deletion before it began",
        "Submit the task again if the image is to go after all",
        False,
    ),
    FailureCode(
        "plugin_failed",
        "the task type could not be set up",
        "Tell the operator the id of this task",
        True,
    ),
    FailureCode(
        "result_invalid",
        "the task ended with a result that its own type does not allow",
        "Tell the operator the id of this task",
        False,
    ),
    FailureCode(
        "cancelled",
        "the task was cancelled and what it had done is undone",
        "Retry the task if it is wanted after all",
        True,
    ),
    FailureCode(
        "deadline_passed",
        "the task took longer than tasks of its type may",
        "Retry the task when there is less to do, or ask the operator",
        True,
    ),
    FailureCode(
        "step_deadline_passed",
        "one step of the task took longer than it may",
        "Retry the task; if it happens again, tell the operator its id",
        True,
    ),
    FailureCode(
        "stalled",
        "nothing moved for longer than tasks of this type are waited for",
        "Retry the task; if it happens again, tell the operator its id",
        True,
    ),
    FailureCode(
        "gave_up",
        "the service died again and again while it worked on this task",
        "Retry the task once; if it fails again, tell the operator its id",
        True,
    ),
    FailureCode(
        "internal",
        "something failed that the service has no better word for",
        "Tell the operator the support id",
        True,
    ),
)
