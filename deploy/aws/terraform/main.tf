# The way from modeltail through Kinesis to S3 and Elasticsearch: stream, function, bucket, and what connects them.
#
#   make lambda
#   terraform -chdir=deploy/aws/terraform init
#   terraform -chdir=deploy/aws/terraform apply
#
# The same for SAM and CloudFormation is ../template.yaml; a test holds the two to the same settings.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80"
    }
  }
}

locals {
  zip = "${path.module}/../lambda/build/modeltail-lambda.zip"
}

resource "aws_kinesis_stream" "this" {
  name             = var.name
  shard_count      = var.shard_count
  retention_period = var.retention_hours
  encryption_type  = "KMS"
  kms_key_id       = "alias/aws/kinesis"

  stream_mode_details {
    stream_mode = "PROVISIONED"
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket" "this" {
  bucket_prefix = "${var.name}-"

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    id     = "abort-stale-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }
}

data "aws_iam_policy_document" "bucket" {
  statement {
    sid       = "OnlyOverTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = data.aws_iam_policy_document.bucket.json
}

# What the function could not deliver in all its attempts: shard and sequence numbers, to be read from the stream.
resource "aws_sqs_queue" "failures" {
  name_prefix               = "${var.name}-failures-"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

resource "aws_cloudwatch_log_group" "function" {
  name              = "/aws/lambda/${var.name}-consumer"
  retention_in_days = 30
}

resource "aws_lambda_function" "this" {
  function_name    = "${var.name}-consumer"
  filename         = local.zip
  source_code_hash = filebase64sha256(local.zip)
  handler          = "modeltail_lambda.handler.handler"
  runtime          = "python3.13"
  architectures    = ["arm64"]
  memory_size      = 1024
  timeout          = 120
  role             = aws_iam_role.function.arn
  depends_on       = [aws_cloudwatch_log_group.function, aws_iam_role_policy.function]

  environment {
    variables = {
      MODELTAIL_BUCKET            = aws_s3_bucket.this.id
      MODELTAIL_PREFIX            = "logs/"
      MODELTAIL_BAD_PREFIX        = "bad/"
      MODELTAIL_ELASTICSEARCH_URL = var.elasticsearch_url
      MODELTAIL_API_KEY_SECRET    = var.api_key_secret_arn
    }
  }
}

resource "aws_lambda_event_source_mapping" "records" {
  event_source_arn                   = aws_kinesis_stream.this.arn
  function_name                      = aws_lambda_function.this.arn
  starting_position                  = "TRIM_HORIZON"
  batch_size                         = 500
  maximum_batching_window_in_seconds = 5
  parallelization_factor             = 1
  function_response_types            = ["ReportBatchItemFailures"]
  bisect_batch_on_function_error     = true
  # Attempts are bounded by age alone: an Elasticsearch that is down for a night loses nothing.
  maximum_retry_attempts        = -1
  maximum_record_age_in_seconds = var.maximum_record_age_in_seconds

  destination_config {
    on_failure {
      destination_arn = aws_sqs_queue.failures.arn
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "given_up" {
  alarm_name          = "${var.name}-given-up"
  alarm_description   = "The function gave up records; the failure queue says which."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.failures.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
}
