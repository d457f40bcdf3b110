data "aws_iam_policy_document" "function_trust" {
  statement {
    effect  = "Allow"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "function" {
  name_prefix        = "${var.name}-consumer-"
  assume_role_policy = data.aws_iam_policy_document.function_trust.json
}

data "aws_iam_policy_document" "function" {
  statement {
    sid    = "ReadTheStream"
    effect = "Allow"
    actions = [
      "kinesis:DescribeStream",
      "kinesis:DescribeStreamSummary",
      "kinesis:GetRecords",
      "kinesis:GetShardIterator",
      "kinesis:ListShards",
    ]
    resources = [aws_kinesis_stream.this.arn]
  }

  # Without the right to list, S3 answers 403 for an object that is not there.
  statement {
    sid       = "LookForRepeats"
    effect    = "Allow"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.this.arn]
  }

  statement {
    sid       = "WriteObjects"
    effect    = "Allow"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${aws_s3_bucket.this.arn}/logs/*", "${aws_s3_bucket.this.arn}/bad/*"]
  }

  statement {
    sid       = "SayWhatWasGivenUp"
    effect    = "Allow"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.failures.arn]
  }

  statement {
    sid       = "Log"
    effect    = "Allow"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.function.arn}:*"]
  }
}

resource "aws_iam_role_policy" "function" {
  name   = "consumer"
  role   = aws_iam_role.function.id
  policy = data.aws_iam_policy_document.function.json
}

data "aws_iam_policy_document" "api_key" {
  statement {
    sid       = "ReadTheApiKey"
    effect    = "Allow"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.api_key_secret_arn]
  }
}

resource "aws_iam_role_policy" "api_key" {
  count  = var.api_key_secret_arn == "" ? 0 : 1
  name   = "api-key"
  role   = aws_iam_role.function.id
  policy = data.aws_iam_policy_document.api_key.json
}

# For the agents: to be attached to the role that the models' tasks or pods run under.
data "aws_iam_policy_document" "send" {
  statement {
    sid       = "Send"
    effect    = "Allow"
    actions   = ["kinesis:DescribeStreamSummary", "kinesis:PutRecords"]
    resources = [aws_kinesis_stream.this.arn]
  }
}

resource "aws_iam_policy" "send" {
  name_prefix = "${var.name}-send-"
  description = "Lets modeltail send to the stream."
  policy      = data.aws_iam_policy_document.send.json
}
